"""TimescaleDB or plain PostgreSQL as a store of tables: server, connections, slices, SQL, Arrow, the IO manager.

Knows `schemas.table_spec` and nothing else of this project, so that another one could take the folder as it is.
"""
