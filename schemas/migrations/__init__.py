"""Alembic revisions of the schemas and the catalog."""
