"""Where Alembic begins. Either a connection is given, whose transaction is its owner's, or the SQL is only written down."""

from alembic import context

from dragoman.adapters.sql.migrations import VERSION_TABLE
from dragoman.adapters.sql.tables import comparable, metadata

given = context.config.attributes

if context.is_offline_mode():
    context.configure(
        dialect_name=given["dialect"],
        output_buffer=given["output"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(
        connection=given["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=comparable,
        transactional_ddl=True,
    )
    context.run_migrations()
