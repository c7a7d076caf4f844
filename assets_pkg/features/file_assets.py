"""Feature assets of datasets that arrive in files: series become features, as of each step.

Belongs here: which series feed which window. Does not belong here: formulas (`file_features.py`).
"""

from collections.abc import Iterator

import dagster as dg

from assets_pkg.dagster_types import table_options
from assets_pkg.features.file_features import features_of
from assets_pkg.partitions import event_days, pieces
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from schemas.file_dataset import FileDataset
from schemas.file_tables import FileTables, look_back


def build_features_asset(dataset: FileDataset, tables: FileTables) -> dg.AssetsDefinition:
    """The asset of the dataset's features."""
    before = look_back(dataset)

    @dg.asset(
        **table_options(tables.features, dataset=dataset.name),
        partitions_def=event_days(dataset.first_day),
        ins={"series": dg.AssetIn([tables.series.schema, tables.series.name])},
        description=(
            f"Features per {' and '.join(dataset.entities)} from the {before.days} days up to each step and nothing "
            f"later: statistics over {_listed(dataset.windows)} steps, lags of {_listed(dataset.lags)}, shares, cycles."
        ),
    )
    def features(context: dg.AssetExecutionContext, series: TableReader) -> SliceStream:
        def writes() -> Iterator[SliceWrite]:
            for piece in pieces(series.windows):
                rows = features_of(series.read(piece.widened(before=before)), dataset, piece)
                yield SliceWrite(rows=rows, window=piece)
                context.log.info(f"features of {piece.days()[0]} to {piece.days()[-1]}: {len(rows)} rows")

        return SliceStream(writes())

    return features


def _listed(numbers: tuple[int, ...]) -> str:
    return " and ".join(map(str, numbers))
