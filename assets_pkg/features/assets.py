"""Feature assets: clean series become features, as of each hour.

Belongs here: which series feed which features, window by window. Does not belong here: formulas (`transforms.py` and
the modules beside it).
"""

from collections.abc import Iterator

import dagster as dg

from assets_pkg.dagster_types import table_options
from assets_pkg.features.transforms import hourly_features
from assets_pkg.partitions import OPENAQ_DAILY, pieces
from resources.catalog.resource import CatalogResource
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.datasets import OPENAQ
from schemas.tables import AIR_QUALITY_HOURLY, LOOK_BACK


@dg.asset(
    **table_options(AIR_QUALITY_HOURLY, dataset=OPENAQ.name),
    partitions_def=OPENAQ_DAILY,
    ins={"air_quality": dg.AssetIn(["timeseries", "air_quality"])},
)
def air_quality_hourly(
    context: dg.AssetExecutionContext, air_quality: TableReader, catalog: CatalogResource
) -> SliceStream:
    """Features per location and hour, from the seven days up to that hour and nothing later: statistics over 3 h, 24 h
    and 7 d, lags, cycles, coverage, ratios, exceedances, NowCast and the US EPA air quality index (2024)."""

    def writes() -> Iterator[SliceWrite]:
        # An offset is that of the newest stamp and not that of last summer: without a zone's name the cycles stay in
        # UTC, so that a row does not depend on when it is computed.
        timezones = {number: zone for number, zone in catalog.timezones().items() if zone and zone[0] not in "+-"}
        for piece in pieces(air_quality.windows):
            series = air_quality.read(piece.widened(before=LOOK_BACK))
            rows = hourly_features(series, window=piece, timezones=timezones)
            yield SliceWrite(rows=rows, window=piece)
            context.log.info(f"features of {piece.days()[0]} to {piece.days()[-1]}: {len(rows)} location-hours")

    return SliceStream(writes())
