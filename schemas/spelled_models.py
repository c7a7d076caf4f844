"""Pandera models that are spelled from a declaration instead of written down.

Belongs here: making a model of columns. Does not belong here: which columns a table has.
"""

from collections.abc import Sequence
from typing import Any

from schemas.base import TableModel


def model_of(
    name: str,
    doc: str,
    columns: dict[str, tuple[Any, Any]],
    *,
    unique: Sequence[str] = (),
    base: type[TableModel] = TableModel,
) -> type[Any]:
    """A model with these columns. Its attributes have names of their own: a model has methods that a column may be
    called like, and what begins with an underscore is no column to it."""
    own = {"Config": type("Config", (base.Config,), {"unique": list(unique)})} if unique else {}
    attributes: dict[str, Any] = {}
    for number, (column, (_, field)) in enumerate(columns.items()):
        field.alias = column
        attributes[f"column_{number}"] = field
    return type(
        name,
        (base,),
        {
            "__doc__": doc,
            "__module__": __name__,
            "__annotations__": dict(zip(attributes, (kind for kind, _ in columns.values()), strict=True)),
            **own,
            **attributes,
        },
    )


def camel(name: str) -> str:
    """`air_quality` as the name of a class."""
    return "".join(part.capitalize() for part in name.split("_"))
