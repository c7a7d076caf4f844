"""The IO manager of feature tables that are served: a write also reaches the online store.

One transaction holds the slice, its ledger and the marks of the keys it touched; after it the marks are served. An
online store that is away fails nothing: what is committed stays, and exactly the marks are left to do, by whoever
serves when it is back. Reading gives a partition's rows as any table's, or a `FeatureView` to ask as of moments.

Belongs here: the order of these. Does not belong here: the marks (`pending.py`), the online store (`resource.py`).
"""

import time
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from pydantic import PrivateAttr

from resources.catalog.io_manager import LedgerIOManager
from resources.errors import CircuitOpen, OnlineStoreUnavailable
from resources.feast import pending
from resources.feast.feature_view import FeatureView
from resources.feast.resource import FeastResource
from resources.timescale.io_manager import Written
from resources.timescale.report import Tally
from resources.timescale.resource import TimescaleResource, Transaction
from schemas.table_spec import TableSpec

FINITE = "finite"
"""Rule of a row with an infinite feature: no model learns from it, and no store of values holds it."""


NOTHING_BROKEN = pd.DataFrame(columns=["schema_context", "column", "check", "check_number", "failure_case", "index"])


class FeastIOManager(LedgerIOManager):
    """LedgerIOManager whose tables are served by Feast."""

    timescale: dg.ResourceDependency[TimescaleResource]
    feast: dg.ResourceDependency[FeastResource]
    _started_at_s: float = PrivateAttr(0.0)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """As `LedgerIOManager.handle_output`, then served; see `finish`."""
        self._started_at_s = time.perf_counter()
        super().handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        """As `LedgerIOManager.load_input`; a parameter annotated `FeatureView` gets one."""
        if context.dagster_type.typing_type is FeatureView:
            spec = self.spec_of(context)
            self.before_read(context, spec)
            return FeatureView(self.feast, spec)
        return super().load_input(context)

    def broken_rows(self, rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
        """As `LedgerIOManager.broken_rows`, infinite values included."""
        found = [each for each in (super().broken_rows(rows, spec), _infinite(rows, spec)) if not each.empty]
        return pd.concat(found, ignore_index=True) if len(found) > 1 else found[0] if found else NOTHING_BROKEN

    def record(self, context: dg.OutputContext, transaction: Transaction, written: Written) -> None:
        """As `LedgerIOManager.record`, and marks the keys that were touched."""
        super().record(context, transaction, written)
        spec = written.table_slice.spec
        if spec.served:
            pending.mark(transaction, spec.served.view, written.changes.touched, spec)

    def finish(self, context: dg.OutputContext, spec: TableSpec, tally: Tally) -> None:
        """Serves what is marked, this run's and what others left behind, and says so in the step's metadata.

        An online store that is away fails nothing: the slice is whole, its marks wait, and the sensor `feature_serving`
        has them served when it is back. One that refuses the user is a person's matter, and fails the step.
        """
        super().finish(context, spec, tally)
        if spec.served is None:
            return
        offline_at_s = time.perf_counter()
        try:
            pushed = self.feast.push(spec)
        except (OnlineStoreUnavailable, CircuitOpen) as error:
            waiting = self.feast.pending_keys(spec)
            context.log.warning(f"{spec.qualified}: {waiting} key(s) wait to be served: {error}")
            told: dict[str, Any] = {"online_keys_pending": waiting, "online_store": f"not reached: {error}"}
            context.add_output_metadata(told if _is_one_slice(context) else {"online_store": told["online_store"]})
            return
        numbers: dict[str, Any] = {
            "online_keys_written": pushed.written,
            "online_keys_skipped": pushed.skipped,
            "online_keys_pending": pushed.pending,
            "offline_s": round(offline_at_s - self._started_at_s, 3),
            "online_s": round(time.perf_counter() - offline_at_s, 3),
        }
        names = {"feature_view": spec.served.view, "feature_service": spec.served.view}
        if pushed.newest_event_at is not None:
            numbers["newest_event_at"] = dg.MetadataValue.timestamp(pushed.newest_event_at)
        if _is_one_slice(context):
            context.add_output_metadata({**names, **numbers})
        else:
            context.add_output_metadata(names)
            context.log.info(f"{spec.qualified}: {numbers}")


def _is_one_slice(context: dg.OutputContext) -> bool:
    """Of a range, Dagster would copy the numbers of the whole to each partition."""
    return not context.has_asset_partitions or len(context.asset_partition_keys) <= 1


def _infinite(rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """A failure case, as Pandera tells them, per infinite value of a feature."""
    floats = rows[[name for name in spec.features if name in rows]].select_dtypes("float")
    at, which = np.nonzero(np.isinf(floats.to_numpy()))
    return pd.DataFrame(
        {
            "schema_context": "Column",
            "column": floats.columns.to_numpy()[which],
            "check": FINITE,
            "check_number": None,
            "failure_case": floats.to_numpy()[at, which],
            "index": rows.index.to_numpy()[at],
        }
    )
