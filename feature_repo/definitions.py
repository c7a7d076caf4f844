"""What Feast's command line finds in this folder: all that `objects.py` declares, and the feature sets that are stored.

Belongs here: the names Feast sees, and reading the stored feature sets from the database that libpq's variables name.
Does not belong here: what an object is made of (`objects.py`).
"""

import os

import psycopg
from sqlalchemy.dialects import postgresql

from feature_repo.objects import declared
from schemas.feature_set import FeatureSet, sets_of, stored_sets


def feature_sets() -> list[FeatureSet]:
    """The stored feature sets; none where libpq's variables name no database, or it has no table of them.

    Raises:
        psycopg.OperationalError: the database does not answer. Without its sets `feast apply` would delete them.
    """
    if not (os.environ.get("PGDATABASE") or os.environ.get("PGSERVICE")):
        return []
    with psycopg.connect("") as connection:
        try:
            return sets_of(connection.execute(str(stored_sets().compile(dialect=postgresql.dialect()))).fetchall())
        except psycopg.errors.UndefinedTable:
            return []


globals().update(declared(sets=feature_sets()))  # Feast sees only module-level names, none inside a list or dict
