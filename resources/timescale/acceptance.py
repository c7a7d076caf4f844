"""What an asset may hand over and ask for, and which rows may be written to a slice.

Belongs here: reading an output and the type of an input. Does not belong here: the order of a write (`io_manager.py`).
"""

from collections.abc import Generator
from typing import Any, get_origin

import dagster as dg
import pandas as pd
import pyarrow as pa

from resources.errors import ContractBroken
from resources.timescale.arrow import from_arrow
from resources.timescale.slices import BatchWrite, SliceStream, SliceWrite, TableReader
from resources.timescale.table_slice import WHOLE_TABLE, TableSlice
from schemas.table_spec import TableSpec


def writes_of(obj: Any, spec: TableSpec) -> Generator[SliceWrite | BatchWrite, None, None]:
    """The slices of an output.

    Raises:
        ContractBroken: it is nothing that can be stored.
    """
    if isinstance(obj, SliceStream):
        yield from obj
    elif isinstance(obj, pd.DataFrame):
        yield SliceWrite(rows=obj)
    elif isinstance(obj, pa.Table):
        yield SliceWrite(rows=from_arrow(obj, spec.model))
    else:
        raise ContractBroken(
            f"{spec.qualified}: cannot store a {type(obj).__name__}; return a DataFrame, a pyarrow.Table or a "
            "SliceStream, or annotate the asset `-> None` if it returns nothing"
        )


def wanted_type(context: dg.InputContext) -> object:
    """What the asset's parameter is annotated with.

    Raises:
        ContractBroken: nothing of that kind can be loaded.
    """
    wanted = context.dagster_type.typing_type
    plain = get_origin(wanted) or wanted
    if plain in (Any, TableReader, pa.Table) or not isinstance(plain, type):
        return wanted
    if issubclass(pd.DataFrame, plain) or issubclass(plain, pd.DataFrame):
        return wanted
    raise ContractBroken(
        f"cannot load a {plain.__name__}; annotate the input as DataFrame, pyarrow.Table or TableReader"
    )


def reject_strays(table_slice: TableSlice, write: SliceWrite) -> None:
    """Rows outside the slice would stay behind when it is replaced.

    Raises:
        ContractBroken: there are such rows.
    """
    spec = table_slice.spec
    if write.rows.empty or table_slice.parts == WHOLE_TABLE:
        return
    inside = pd.Series(False, index=write.rows.index)
    for part in table_slice.parts:
        held = pd.Series(True, index=write.rows.index)
        if part.window and spec.time_column:
            held &= part.window.holds(write.rows[spec.time_column], spec.closed)
        for name, values in part.among:
            held &= write.rows[name].isin(list(values)).astype(bool)
        inside |= held
    if strays := int((~inside).sum()):
        example = write.rows.loc[~inside].iloc[0].to_dict()
        raise ContractBroken(f"{spec.qualified}: {strays} row(s) lie outside the slice that is written, e.g. {example}")
