"""Staging assets: sources become tables of rows as received.

Belongs here: which source fills which table. Does not belong here: reading a source (`resources/`), row logic
(`transforms.py`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd

from assets_pkg.dagster_types import table_options
from assets_pkg.partitions import OPENAQ_DAILY, pieces, window_of
from assets_pkg.staging.transforms import accounts, beside, newest_offset, staged
from resources.catalog.accounts import REJECT_COLUMNS
from resources.catalog.io_manager import LedgerWrite
from resources.catalog.resource import CatalogResource
from resources.errors import CircuitOpen, LedgerNotClosed, PartialFetch, SourceUnavailable, TransientError
from resources.openaq.fetched import Fetched, FetchFailed
from resources.openaq.resource import OpenAQResource
from resources.timescale.slices import SliceStream
from schemas.datasets import OPENAQ
from schemas.tables import OPENAQ_MEASUREMENTS
from schemas.window import ONE_DAY

DESCRIBED_FOR = timedelta(days=1)
"""So long the source is not asked again what a location is: it costs a request each."""

MOST_TOLD = 20
"""Remarks that the metadata of one day may hold."""


class Selection(dg.Config):
    """Which locations to fetch."""

    locations: list[int] = []
    """OpenAQ location ids; empty: those of the configuration."""


@dg.asset(**table_options(OPENAQ_MEASUREMENTS, dataset=OPENAQ.name), partitions_def=OPENAQ_DAILY, pool="openaq")
def openaq_measurements(
    context: dg.AssetExecutionContext, config: Selection, openaq: OpenAQResource, catalog: CatalogResource
) -> SliceStream:
    """Measurements of OpenAQ as received, from the archive or API v3, per location and UTC day of the period's end.

    A location that fails leaves the others alone: they are committed, the run says which one is missing and turns red,
    and the sensor asks for it again. A sensor that fails leaves its location's others alone: they are committed, what
    was there of it stays, and its location's days stay owed.
    """
    return SliceStream(_writes(context, openaq, catalog, config.locations))


def _writes(
    context: dg.AssetExecutionContext, openaq: OpenAQResource, catalog: CatalogResource, chosen: Sequence[int]
) -> Iterator[LedgerWrite]:
    window = window_of(context)
    ids = tuple(dict.fromkeys(chosen)) or openaq.location_ids()
    failed: list[FetchFailed] = []
    done: Counter[date] = Counter()
    offsets: dict[int, str] = {}
    steps = list(pieces([window]))
    for number, piece in enumerate(steps, start=1):
        days = piece.days()
        known = openaq.known_files(catalog.known_sources(ids, days[0] - ONE_DAY, days[-1] + ONE_DAY))
        unusual: list[str] = []
        for fetched in openaq.fetch(piece, ids, known):
            if isinstance(fetched, FetchFailed):
                failed.append(fetched)
                _owe(context, catalog, fetched)
                continue
            yield _write(fetched, catalog)
            done.update(days)
            unusual += _unusual(fetched)
            if offset := newest_offset(fetched.rows):
                offsets[fetched.location_id] = offset
        _tell(context, days, unusual)
        context.log.info(f"{days[0]} to {days[-1]} ({number} of {len(steps)}): {len(ids)} locations asked")
    undescribed = catalog.undescribed(list(offsets), datetime.now(UTC) - DESCRIBED_FOR)
    catalog.remember(openaq.locations(undescribed), offsets)
    if failed:
        whole = [day for day, locations in sorted(done.items()) if locations == len(ids)]
        for day in whole:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=day.isoformat()))
        raise _failure(failed, len(ids), len(whole))


def _write(fetched: Fetched, catalog: CatalogResource) -> LedgerWrite:
    """The location's slice; what was there of a sensor that failed stays in it, and is counted as read again."""
    unit, window, failed = fetched.location_id, fetched.window, sorted(fetched.failed_sensors)
    _require_all(fetched)
    rows = staged(fetched.rows, datetime.now(UTC))
    rejects = pd.DataFrame(
        [(r.day, str(unit), r.rule, r.reason, r.raw, r.source_id, r.line_no) for r in fetched.rejects],
        columns=REJECT_COLUMNS,
    )
    if failed:
        rows = beside(rows, catalog.held(OPENAQ_MEASUREMENTS, window, unit, {"sensors_id": failed}))
        addresses = [f"/sensors/{sensor_id}/" for sensor_id in failed]
        held = catalog.put_aside(OPENAQ_MEASUREMENTS, window.days(), unit, addresses)
        rejects = pd.concat([rejects, held], ignore_index=True) if len(rejects) else held
    return LedgerWrite(
        rows=rows,
        window=window,
        units=(unit,),
        accounts=accounts(rows, Counter(rejects["day"]), window, unit),
        rejects=rejects,
        sources=fetched.sources,
        still_owed="; ".join(_failures(fetched)) or None,
    )


def _require_all(fetched: Fetched) -> None:
    """What the sources held, counted on its own, against what became of it.

    Raises:
        LedgerNotClosed: a record was lost, or counted twice, on the way; nothing of the location is written.
    """
    kept = len(fetched.rows) + len(fetched.rejects) + sum(fetched.filtered.values())
    if kept != fetched.records:
        raise LedgerNotClosed(
            f"location {fetched.location_id}, {fetched.window.start} to {fetched.window.end}: the sources held "
            f"{fetched.records} records, but {len(fetched.rows)} became rows, {len(fetched.rejects)} were rejected and "
            f"{sum(fetched.filtered.values())} belong to other days"
        )


def _failures(fetched: Fetched) -> list[str]:
    return [f"sensor {sensor_id} failed: {error}" for sensor_id, error in sorted(fetched.failed_sensors.items())]


def _unusual(fetched: Fetched) -> list[str]:
    return [f"location {fetched.location_id}: {text}" for text in (*_failures(fetched), *fetched.notes)]


def _tell(context: dg.AssetExecutionContext, days: Sequence[date], unusual: Sequence[str]) -> None:
    """What is unusual about the days, in the log and in the metadata of each of them."""
    for text in unusual:
        context.log.warning(text)
    if not unusual:
        return
    listed = [f"- {text}" for text in unusual[:MOST_TOLD]]
    if len(unusual) > MOST_TOLD:
        listed.append(f"- and {len(unusual) - MOST_TOLD} more, see the run's log")
    told = {"unusual": dg.MetadataValue.md("\n".join(listed)), "unusual_count": len(unusual)}
    for day in days:
        context.add_asset_metadata(told, partition_key=day.isoformat())


def _owe(context: dg.AssetExecutionContext, catalog: CatalogResource, failed: FetchFailed) -> None:
    context.log.error(f"location {failed.location_id}: {failed.error}")
    catalog.owe(
        OPENAQ_MEASUREMENTS,
        failed.location_id,
        failed.window.days(),
        str(failed.error),
        is_transient=isinstance(failed.error, TransientError),
        run_id=context.run.run_id,
        was_asked=not isinstance(failed.error, CircuitOpen),
    )


def _failure(failed: list[FetchFailed], asked: int, whole_days: int) -> Exception:
    """The error the run ends with: the source's own if every location met the same, else the list."""
    locations = sorted({one.location_id for one in failed})
    if len(locations) == asked and len({str(one.error) for one in failed}) == 1:
        return failed[0].error
    told = "; ".join(f"{one.location_id}: {one.error}" for one in failed[:5])
    more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
    if len(locations) == asked and all(isinstance(one.error, TransientError) for one in failed):
        kind = CircuitOpen if any(isinstance(one.error, CircuitOpen) for one in failed) else SourceUnavailable
        return kind(f"none of {asked} locations could be fetched: {told}{more}")
    rest = f"the others are committed and {whole_days} day(s) are complete; " if len(locations) < asked else ""
    return PartialFetch(
        f"{len(locations)} of {asked} locations could not be fetched ({', '.join(map(str, locations))}), {rest}"
        f"the sensor asks for what is missing again. {told}{more}"
    )
