"""Alembic's environment: runs the migrations on the connection that `migrate` opened and locked."""

from __future__ import annotations

from alembic import context

from bot.store.schema import VERSION_TABLE

if context.is_offline_mode():  # only writes the SQL down, for a dialect that `sqlalchemy.url` names
    context.configure(
        url=context.config.get_main_option("sqlalchemy.url"),
        transactional_ddl=not context.config.attributes["in_transaction"],
        version_table=VERSION_TABLE,
    )
else:
    context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
