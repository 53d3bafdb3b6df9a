"""What PostgreSQL does in its own way. asyncpg is imported here alone."""
