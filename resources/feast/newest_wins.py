"""What the online stores have in common: a write compares before it replaces, unless it is trusted.

Belongs here: the base class, and times as numbers. Does not belong here: any store (`online_stores.py`). Loaded with
Feast: nothing that runs when definitions load may import it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import make_tzaware

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Progress = Callable[[int], Any] | None

ONE_SECOND_US = 1_000_000


class NewestWins:
    """What the three have in common: whether writes are guarded, and the newest row of each key of a batch."""

    _trust: threading.local

    @contextlib.contextmanager
    def trusted(self) -> Iterator[None]:
        """Inside, this thread's writes replace what is there, whatever its time."""
        trust = self.__dict__.setdefault("_trust", threading.local())
        trust.is_given = True
        try:
            yield
        finally:
            trust.is_given = False

    def online_write_batch(self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress) -> None:
        """Writes the newest row of each key, where the store has none that is newer."""
        newest: dict[bytes, Row] = {}
        for row in data:
            key = serialize_entity_key(row[0], config.entity_key_serialization_version)
            if key not in newest or make_tzaware(row[2]) >= make_tzaware(newest[key][2]):
                newest[key] = row
        is_trusted = getattr(self.__dict__.get("_trust"), "is_given", False)
        if newest:
            self._write(config, table, newest, is_guarded=not is_trusted)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress
    ) -> None:
        """The same, beside an event loop."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def _write(self, config: RepoConfig, table: FeatureView, rows: dict[bytes, Row], *, is_guarded: bool) -> None:
        raise NotImplementedError


def table_id(config: RepoConfig, table: FeatureView) -> str:
    """Name of a view's table in an online store that has tables."""
    name: str = compute_table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
    return name


def microseconds(moment: datetime) -> int:
    """Since 1970 in UTC; naive means UTC."""
    since = make_tzaware(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * ONE_SECOND_US + since.microseconds
