"""What is specific to SQLite."""
