"""The feature sets that are stored, for whoever tells Feast of them.

Belongs here: reading them over a connection of ours. Does not belong here: what a set is (`schemas/feature_set.py`).
"""

import sqlalchemy as sa

from schemas.feature_set import STORED, FeatureSet, sets_of, stored_sets


def stored(connection: sa.Connection) -> list[FeatureSet]:
    """The stored sets by name; none where nobody has stored any yet."""
    if not sa.inspect(connection).has_table(STORED.name, schema=STORED.schema):
        return []
    return sets_of((name, view, members) for name, view, members in connection.execute(stored_sets()))
