"""What Feast was told of a view, and whether that is what it is to be told now.

Belongs here: digests of definitions, and the question what is known. Does not belong here: telling Feast
(`resource.py`), what a definition is (the module that `declarations` names, which imports Feast).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import sqlalchemy as sa

from resources.feast.configuration import REGISTRY_SCHEMA
from schemas.catalog_features import FEATURE_VIEWS
from schemas.table_spec import TableSpec


@dataclass(frozen=True)
class Told:
    """What Feast was told of a view last, and which online store is filled under it."""

    definition: str
    online_store: str
    is_registered: bool = True
    """Whether Feast's registry has the view."""

    def serves(self, wanted: "Told") -> bool:
        """Whether the online store holds the columns that are wanted, for the rows that were pushed."""
        columns, _, _ = self.definition.partition(".")
        is_same = columns == wanted.definition.partition(".")[0] and self.online_store == wanted.online_store
        return self.is_registered and is_same  # Feast drops the online table of a view it is told to forget


NOTHING = Told("", "", False)


def told(connection: sa.Connection, view: str) -> Told:
    """What is noted of the view; `NOTHING` if nothing is."""
    registry = sa.table("feature_views", sa.column("feature_view_name"), schema=REGISTRY_SCHEMA)
    is_there = sa.exists().where(registry.c.feature_view_name == view)
    query = sa.select(FEATURE_VIEWS.c.definition, FEATURE_VIEWS.c.online_store, is_there)
    noted = connection.execute(query.where(FEATURE_VIEWS.c.view == view)).one_or_none()
    return Told(*noted) if noted else NOTHING


def declared(declarations: str, spec: TableSpec) -> list[Any]:
    """The Feast objects of a table, made afresh: Feast writes into those it is given."""
    return list(import_module(declarations).objects_of(spec))


@cache
def definition(declarations: str, spec: TableSpec) -> str:
    """Digest of what is served (table, columns, version), a dot, and digest of all that Feast is told."""
    from google.protobuf.json_format import MessageToDict

    objects = declared(declarations, spec)
    view = next(each for each in objects if type(each).__name__ == "FeatureView")
    columns = sorted((field.name, str(field.dtype)) for field in view.schema)  # Feast gives them in any order
    served = spec.served and (spec.served.view, spec.served.version, spec.served.complete_after)
    meaning = repr([spec.qualified, served, *columns])
    whole = [json.dumps(_lasting(MessageToDict(each.to_proto())), sort_keys=True).encode() for each in objects]
    return f"{_digest([meaning.encode()])}.{_digest(whole)}"


def _lasting(part: Any) -> Any:
    """An object as it was declared, without the instants at which it was made."""
    if isinstance(part, dict):
        return {name: _lasting(value) for name, value in part.items() if name != "meta"}
    return [_lasting(one) for one in part] if isinstance(part, list) else part


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
