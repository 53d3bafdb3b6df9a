"""What is specific to PostgreSQL. Only this package imports asyncpg."""
