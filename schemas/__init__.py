"""WHAT a table is: Pandera models, table facts, dataset declarations, the catalog's own tables.

Does not belong here: Dagster, a database driver, any input or output.
"""
