"""Bringing the online store to what the tables say: the newest row of every key that is marked.

Belongs here: the loop of transactions. Does not belong here: statements (`pending.py`), which store it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.feast import pending
from resources.feast.online_errors import reaching
from resources.timescale import sql
from resources.timescale.resource import TimescaleResource, Transaction
from schemas.table_spec import TableSpec

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH_KEYS = 10_000


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push came to: keys written online, keys that were right already, the newest row among those written, and
    keys that are marked when it is done (by others, meanwhile)."""

    written: int = 0
    skipped: int = 0
    newest_event_at: datetime | None = None
    pending: int = 0

    def plus(self, taken: pa.Table, written: pa.Table, time_column: str) -> "Pushed":
        """With one more batch."""
        newest = pc.max(written.column(time_column)).as_py()
        return Pushed(
            written=self.written + written.num_rows,
            skipped=self.skipped + taken.num_rows - written.num_rows,
            newest_event_at=max(filter(None, (self.newest_event_at, newest)), default=None),
        )


def push(
    timescale: TimescaleResource,
    store: "FeatureStore",
    spec: TableSpec,
    *,
    online_name: str,
    progress: Callable[[int], object] = lambda _: None,
) -> Pushed:
    """Serves every mark there is of the table's view, whoever made it; marks made meanwhile are left.

    `progress` is told the keys of each batch when it is done. What was served stays served where a later batch fails.

    Raises:
        OnlineStoreUnavailable, CredentialsRejected, ConfigurationError: the online store; see `reaching`.
        DatabaseUnavailable: the database went away.
    """
    view = spec.view
    pushed = Pushed()
    with timescale.connect() as connection:
        up_to = int(connection.execute(pending.newest_version(view)).scalar_one())
    is_full = up_to >= 0
    while is_full:
        with timescale.transaction() as transaction:
            taken = _taken(transaction, view, spec, up_to)
            due = taken.filter(taken.column(pending.IS_DUE))
            if due.num_rows:
                _write(store, view, spec, due, online_name)
            transaction.execute(pending.done(view, taken))
        pushed = pushed.plus(taken, due, spec.time_column or "")
        progress(taken.num_rows)
        is_full = taken.num_rows == BATCH_KEYS
    return pushed


def _taken(transaction: Transaction, view: str, spec: TableSpec, up_to: int) -> pa.Table:
    """One after another per view: whoever writes a key's row has read the newest one there is."""
    transaction.execute(sql.lock([f"feast/push/{view}"]))
    return transaction.fetch(pending.take(view, spec, up_to_version=up_to, most=BATCH_KEYS)).combine_chunks()


def _write(store: "FeatureStore", view: str, spec: TableSpec, rows: pa.Table, online_name: str) -> None:
    from resources.feast.encoding import encoded

    declared = store.registry.get_feature_view(view, store.project, allow_cache=True)
    online: Any = store._get_provider().online_store
    with reaching(online_name), online.trusted():
        online.online_write_batch(store.config, declared, encoded(rows, declared, spec), None)
