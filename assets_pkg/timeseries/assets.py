"""Timeseries assets: staging rows become clean series on a regular grid.

Belongs here: which table is cleaned into which, window by window. Does not belong here: the rules (`transforms.py` and
the modules beside it).
"""

from collections.abc import Iterator

import dagster as dg

from assets_pkg.dagster_types import table_options
from assets_pkg.partitions import OPENAQ_DAILY, pieces
from assets_pkg.timeseries.transforms import clean
from resources.catalog.io_manager import LedgerWrite
from resources.timescale.slices import SliceStream, TableReader
from schemas.datasets import OPENAQ
from schemas.tables import AIR_QUALITY, CLEANING_CONTEXT


@dg.asset(
    **table_options(AIR_QUALITY, dataset=OPENAQ.name),
    partitions_def=OPENAQ_DAILY,
    ins={"openaq_measurements": dg.AssetIn(["staging", "openaq_measurements"])},
)
def air_quality(context: dg.AssetExecutionContext, openaq_measurements: TableReader) -> SliceStream:
    """Hourly series per location, sensor and parameter: canonical units, quality flags, short gaps imputed and marked.

    Nothing is changed silently: what cleaning finds is a flag, and what cannot be a measurement is in quarantine.
    """

    def writes() -> Iterator[LedgerWrite]:
        for piece in pieces(openaq_measurements.windows):
            cleaned = clean(openaq_measurements.read(piece.widened(CLEANING_CONTEXT, CLEANING_CONTEXT)), OPENAQ, piece)
            accounts = cleaned.accounts.reset_index().rename(columns={"location_id": "unit"})
            rejects = cleaned.rejects.rename(columns={"location_id": "unit"}).astype({"unit": str})
            yield LedgerWrite(rows=cleaned.rows, window=piece, accounts=accounts, rejects=rejects)
            context.log.info(f"cleaned {piece.days()[0]} to {piece.days()[-1]}: {len(cleaned.rows)} hours")

    return SliceStream(writes())
