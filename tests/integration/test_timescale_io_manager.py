"""The IO manager on real servers, through Dagster's own runs: what anybody expects of a table IO manager.

The list of scenarios is that of Dagster's database IO managers (everything twice, only the slice changes, every kind of
partition, projection, self-dependency), and what a slice in one transaction adds to it.
"""

import logging
import socket
import socketserver
import subprocess
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import dagster as dg
import pandas as pd
import pandera.pandas as pandera
import pyarrow
import pytest
import sqlalchemy as sa
from pydantic import PrivateAttr
from sqlalchemy.dialects import postgresql

from resources.errors import ConfigurationError, ContractBroken, CredentialsRejected, DatabaseUnavailable
from resources.timescale import sql
from resources.timescale.io_manager import TimescaleIOManager, Written
from resources.timescale.resource import TimescaleResource, Transaction
from resources.timescale.slices import SliceStream, SliceWrite, TableReader
from resources.timescale.table_slice import Part, TableSlice
from schemas.base import TableModel, Text, UtcTimestamp, conform
from schemas.table_spec import TableSpec
from schemas.window import Window

ROOT = Path(__file__).resolve().parents[2]


class Reading(TableModel):
    """One value per region, station and instant."""

    region: Text
    station: int = pandera.Field(description="number of the station")
    t: UtcTimestamp = pandera.Field(description="END of the hour, UTC")
    value: float = pandera.Field(nullable=True, ge=0)
    known_at: UtcTimestamp


READINGS = TableSpec(
    schema='odd "sche%ma',
    name="readings größe",
    model=Reading,
    key=("region", "station", "t"),
    time_column="t",
    closed="right",
    unit="station",
)
LEFT = replace(READINGS, name="left", closed="left")
COPY = replace(READINGS, schema="other", name="copy")
TIMELESS = replace(READINGS, schema="other", name="timeless", time_column=None)
KEY = dg.AssetKey(["staging", "readings"])
NAMED = {"dagster/table_name": READINGS.qualified}
DAILY = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-03-01")
REGIONS = dg.StaticPartitionsDefinition(["north", "south", "o'hare"])
BY_REGION = dg.MultiPartitionsDefinition({"day": DAILY, "region": REGIONS})
BY_REGION_COLUMNS = {**NAMED, "partition_expr": {"day": "t", "region": "region"}}
ONE_RUN = dg.BackfillPolicy.single_run()


class ReadingsIOManager(TimescaleIOManager):
    """What a project writes to use the IO manager."""

    tables: ClassVar = {spec.qualified: spec for spec in (READINGS, LEFT, COPY, TIMELESS)}


class Graph:
    """Runs assets against one database and one Dagster instance."""

    def __init__(self, timescale: TimescaleResource, instance: dg.DagsterInstance) -> None:
        self.timescale, self.instance = timescale, instance

    def run(
        self,
        *assets: Any,
        only: Any = None,
        key: str | None = None,
        days: tuple[str, str] | None = None,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        """One run of one partition, or of a range in one run."""
        tags = (
            {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]}
            if days
            else {}
        )
        return dg.materialize(
            list(assets),
            selection=[only] if only else None,
            partition_key=key,
            tags=tags,
            instance=self.instance,
            resources={"io_manager": ReadingsIOManager(timescale=self.timescale)},
            **options,
        )

    def rows(self, spec: TableSpec = READINGS) -> pd.DataFrame:
        """The table as it stands, in the order of its key."""
        return TableReader(self.timescale, TableSlice(spec)).read()


@pytest.fixture
def graph(timescale: TimescaleResource) -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(timescale, instance)


def readings(
    window: Window, *, value: float = 1.0, regions: tuple[str, ...] = ("north",), every_h: int = 6
) -> pd.DataFrame:
    """One reading per region every few hours, closed on the right: the last is at midnight of the next day."""
    stamps = pd.date_range(window.start, window.end, freq=f"{every_h}h", inclusive="right", unit="us")
    frames = [pd.DataFrame({"region": region, "station": 1, "t": stamps, "value": value}) for region in regions]
    return conform(pd.concat(frames).assign(known_at=pd.Timestamp.now("UTC")), Reading)


def window_of(context: dg.AssetExecutionContext) -> Window:
    return Window(context.partition_time_window.start, context.partition_time_window.end)


def daily(value: Callable[[], float] = lambda: 1.0, **options: Any) -> dg.AssetsDefinition:
    """An asset of four readings a day."""

    @dg.asset(key=KEY, partitions_def=DAILY, metadata=NAMED, backfill_policy=ONE_RUN, **options)
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return readings(window_of(context), value=value())

    return asset


def whole(frame: object, annotation: object = pd.DataFrame, **options: Any) -> dg.AssetsDefinition:
    """An unpartitioned asset that returns `frame`."""

    def compute() -> object:
        return frame

    compute.__annotations__["return"] = annotation
    return dg.asset(**{"key": KEY, "metadata": NAMED, **options})(compute)


def reading_asset(annotation: object, got: list[Any], **options: Any) -> dg.AssetsDefinition:
    """An asset that keeps what it is given for its input `rows`."""

    def downstream(rows: Any) -> None:
        got.append(rows)

    downstream.__annotations__["rows"] = annotation
    return dg.asset(**{"ins": {"rows": dg.AssetIn(KEY)}, **options})(downstream)


def per_day(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {event.partition: {name: value.value for name, value in event.metadata.items()} for event in events}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The whole error of the failed step: message, causes and stack traces."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.error_display_string + str(event.step_failure_data.user_failure_data)


DAY_1, DAY_2, DAY_3 = "2024-01-02", "2024-01-03", "2024-01-04"
JANUARY_2 = Window.of_days(date(2024, 1, 2), date(2024, 1, 2))


def test_a_second_write_of_the_same_rows_changes_nothing_and_says_so(graph: Graph) -> None:
    first = per_day(graph.run(daily(), key=DAY_1))[DAY_1]
    before = graph.rows()
    with graph.timescale.connect() as connection:
        written_by = set(
            connection.scalars(sa.select(sa.literal_column("xmin::text")).select_from(sql.table_of(READINGS)))
        )
    second = per_day(graph.run(daily(), key=DAY_1))[DAY_1]
    assert (first["dagster/partition_row_count"], first["rows_inserted"], first["rows_unchanged"]) == (4, 4, 0)
    assert (second["dagster/partition_row_count"], second["rows_inserted"], second["rows_unchanged"]) == (4, 0, 4)
    assert (second["rows_changed"], second["rows_vanished"]) == (0, 0)
    pd.testing.assert_frame_equal(graph.rows(), before)
    with graph.timescale.connect() as connection:
        rows = set(connection.scalars(sa.select(sa.literal_column("xmin::text")).select_from(sql.table_of(READINGS))))
    assert rows == written_by


def test_writing_a_day_again_with_other_values_changes_that_day_only(graph: Graph) -> None:
    for day, value in ((DAY_1, 1.0), (DAY_2, 2.0)):
        graph.run(daily(lambda value=value: value), key=day)
    before = graph.rows()
    again = per_day(graph.run(daily(lambda: 3.0), key=DAY_1))[DAY_1]
    assert again["rows_changed"] == 4
    after = graph.rows()
    assert after["value"].tolist() == [3.0] * 4 + [2.0] * 4
    pd.testing.assert_frame_equal(after.tail(4), before.tail(4))


def test_rows_that_are_gone_vanish(graph: Graph) -> None:
    graph.run(whole(readings(JANUARY_2)))
    metadata = per_day(graph.run(whole(readings(JANUARY_2).iloc[[0, 2]].reset_index(drop=True))))[None]
    assert (metadata["rows_vanished"], metadata["rows_unchanged"], metadata["dagster/row_count"]) == (2, 2, 2)
    assert len(graph.rows()) == 2
    graph.run(whole(readings(JANUARY_2).head(0)))
    assert graph.rows().empty


def test_numbers_of_a_range_are_those_of_each_day(graph: Graph) -> None:
    def one_more_on_the_second(context: dg.AssetExecutionContext) -> pd.DataFrame:
        rows = readings(window_of(context))
        extra = conform(
            pd.DataFrame(
                {
                    "region": ["south"],
                    "station": 1,
                    "t": [datetime(2024, 1, 3, 1, tzinfo=UTC)],
                    "value": 0.5,
                    "known_at": [datetime(2024, 2, 1, tzinfo=UTC)],
                }
            ),
            Reading,
        )
        return pd.concat([rows.drop(index=0), extra], ignore_index=True)

    asset = dg.asset(key=KEY, partitions_def=DAILY, metadata=NAMED, backfill_policy=ONE_RUN)(one_more_on_the_second)
    graph.run(daily(), days=(DAY_1, DAY_2))
    told = per_day(graph.run(asset, days=(DAY_1, DAY_3)))
    counts = ["dagster/partition_row_count", "rows_inserted", "rows_changed", "rows_vanished", "rows_unchanged"]
    assert [told[DAY_1][name] for name in counts] == [3, 0, 0, 1, 3]
    assert [told[DAY_2][name] for name in counts] == [5, 1, 0, 0, 4]
    assert [told[DAY_3][name] for name in counts] == [4, 4, 0, 0, 0]
    assert all("dagster/row_count" not in metadata for metadata in told.values())


def test_metadata_names_the_table_and_its_columns_unless_the_definition_does(graph: Graph) -> None:
    unnamed = dg.AssetKey([COPY.schema, COPY.name])
    metadata = per_day(graph.run(whole(readings(JANUARY_2), key=unnamed, metadata={})))[None]
    assert metadata["dagster/table_name"] == COPY.qualified
    columns = metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == COPY.columns
    assert columns[1].description == "number of the station"
    assert "dagster/table_name" not in per_day(graph.run(whole(readings(JANUARY_2))))[None]


def test_an_asset_without_a_table_is_told_so(graph: Graph) -> None:
    result = graph.run(whole(readings(JANUARY_2), key=["other", "nobody"], metadata={}), raise_on_error=False)
    assert "no table 'other.nobody' is declared in ReadingsIOManager.tables" in failure_of(result)


def test_static_partitions_replace_their_own_rows_only(graph: Graph) -> None:
    @dg.asset(
        key=KEY, partitions_def=REGIONS, metadata={**NAMED, "partition_expr": "region"}, config_schema={"value": float}
    )
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return readings(
            JANUARY_2, regions=(context.partition_key,), value=context.op_execution_context.op_config["value"]
        )

    name = asset.op.name
    for region, value in (("north", 1.0), ("o'hare", 2.0), ("north", 3.0)):
        graph.run(asset, key=region, run_config={"ops": {name: {"config": {"value": value}}}})
    assert graph.rows().groupby("region")["value"].agg(list).to_dict() == {"north": [3.0] * 4, "o'hare": [2.0] * 4}


def test_static_partitions_of_a_column_of_numbers(graph: Graph) -> None:
    numbers = dg.StaticPartitionsDefinition(["1", "2"])

    @dg.asset(key=KEY, partitions_def=numbers, metadata={**NAMED, "partition_expr": "station"})
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return readings(JANUARY_2).assign(station=int(context.partition_key))

    for key in ("1", "2", "1"):
        graph.run(asset, key=key)
    assert graph.rows()["station"].value_counts().to_dict() == {1: 4, 2: 4}


def test_dynamic_partitions(graph: Graph) -> None:
    dynamic = dg.DynamicPartitionsDefinition(name="regions")

    @dg.asset(key=KEY, partitions_def=dynamic, metadata={**NAMED, "partition_expr": "region"})
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return readings(JANUARY_2, regions=(context.partition_key,))

    got: list[pd.DataFrame] = []
    same = reading_asset(pd.DataFrame, got, partitions_def=dynamic)
    graph.instance.add_dynamic_partitions("regions", ['new "one"', "b%"])
    for key in ('new "one"', "b%", 'new "one"'):
        graph.run(asset, same, key=key)
    assert len(graph.rows()) == 8
    assert [rows["region"].unique().tolist() for rows in got] == [['new "one"'], ["b%"], ['new "one"']]


def by_region() -> dg.AssetsDefinition:
    @dg.asset(key=KEY, partitions_def=BY_REGION, metadata=BY_REGION_COLUMNS)
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        keys = context.partition_key.keys_by_dimension
        day = date.fromisoformat(keys["day"])
        return readings(Window.of_days(day, day), regions=(keys["region"],))

    return asset


def test_two_dimensions_cut_by_both_and_load_into_one(graph: Graph) -> None:
    keys = [
        dg.MultiPartitionKey({"day": day, "region": region}) for day in (DAY_1, DAY_2) for region in ("north", "south")
    ]
    for key in (*keys, keys[0]):
        assert graph.run(by_region(), key=key).success
    assert graph.rows().groupby("region").size().to_dict() == {"north": 8, "south": 8}

    got: list[pd.DataFrame] = []
    one_day = reading_asset(pd.DataFrame, got, partitions_def=DAILY)
    graph.run(by_region(), one_day, only=one_day, key=DAY_2)
    assert (got[0]["t"].min(), got[0]["t"].max()) == (
        pd.Timestamp("2024-01-03 06:00Z"),
        pd.Timestamp("2024-01-04 00:00Z"),
    )
    assert set(got[0]["region"]) == {"north", "south"}

    one_region = reading_asset(pd.DataFrame, got, partitions_def=REGIONS)
    graph.run(by_region(), one_region, only=one_region, key="south")
    assert set(got[1]["region"]) == {"south"} and len(got[1]) == 8

    readers: list[TableReader] = []
    reader = reading_asset(TableReader, readers, partitions_def=REGIONS)
    graph.run(by_region(), reader, only=reader, key="south")
    assert set(readers[0].read(JANUARY_2)["region"]) == {"south"}


def test_partition_expr_that_does_not_fit_is_told(graph: Graph) -> None:
    for definition, key, expression, words in (
        (REGIONS, "north", None, "has no column"),
        (REGIONS, "north", "nowhere", "has no column 'nowhere'"),
        (REGIONS, "north", "station", "is int64, it is never 'north'"),
        (REGIONS, "north", "value", "only text, whole numbers and booleans"),
        (DAILY, DAY_1, "known_at", "is cut by its time column, 't'"),
        (BY_REGION, f"{DAY_1}|north", "t", "must map each of ['day', 'region']"),
    ):
        metadata = {"dagster/table_name": TIMELESS.qualified if expression is None else READINGS.qualified}
        options = {
            "partitions_def": definition,
            "metadata": metadata | ({"partition_expr": expression} if expression else {}),
        }
        assert words in failure_of(graph.run(whole(readings(JANUARY_2), **options), key=key, raise_on_error=False))


def test_a_range_is_one_slice(graph: Graph) -> None:
    graph.run(daily(), days=(DAY_1, DAY_3))
    assert len(graph.rows()) == 12
    got: list[pd.DataFrame] = []
    middle = reading_asset(pd.DataFrame, got, partitions_def=DAILY, backfill_policy=ONE_RUN)
    graph.run(daily(), middle, only=middle, days=(DAY_2, DAY_3))
    assert got[0]["t"].min() == pd.Timestamp("2024-01-03 06:00Z") and len(got[0]) == 8


def test_days_with_a_gap_between_them_leave_the_gap_alone(graph: Graph) -> None:
    graph.run(daily(), days=(DAY_1, DAY_3))
    first, last = Window.of_days(date(2024, 1, 2), date(2024, 1, 2)), Window.of_days(date(2024, 1, 4), date(2024, 1, 4))
    gapped = dg.build_output_context(asset_key=KEY, definition_metadata=NAMED)
    manager = ReadingsIOManager(timescale=graph.timescale)
    slice_ = TableSlice(READINGS, (Part(first), Part(last)))
    rows = pd.concat([readings(first, value=7.0), readings(last, value=7.0)], ignore_index=True)
    manager.write(gapped, slice_, SliceWrite(rows=rows))
    assert graph.rows()["value"].tolist() == [7.0] * 4 + [1.0] * 4 + [7.0] * 4
    with pytest.raises(ContractBroken, match=r"4 row\(s\) lie outside"):
        manager.write(gapped, slice_, SliceWrite(rows=readings(Window.of_days(date(2024, 1, 2), date(2024, 1, 4)))))


def test_an_hourly_upstream_loads_into_a_day(graph: Graph) -> None:
    hourly = dg.HourlyPartitionsDefinition(start_date="2024-01-01-00:00", end_date="2024-01-05-00:00")

    @dg.asset(key=KEY, partitions_def=hourly, metadata=NAMED, backfill_policy=ONE_RUN)
    def asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return readings(window_of(context), every_h=1)

    got: list[pd.DataFrame] = []
    day = reading_asset(pd.DataFrame, got, partitions_def=DAILY)
    for key in ("2024-01-01-23:00", "2024-01-02-00:00", "2024-01-02-23:00", "2024-01-03-00:00", "2024-01-02-00:00"):
        metadata = per_day(graph.run(asset, key=key))[key]
        assert metadata["dagster/partition_row_count"] == 1
    graph.run(asset, day, only=day, key=DAY_1)
    assert got[0]["t"].tolist() == [pd.Timestamp("2024-01-02 01:00Z"), pd.Timestamp("2024-01-03 00:00Z")]


def test_columns_project(graph: Graph) -> None:
    got: list[Any] = []
    for annotation in (pd.DataFrame, pyarrow.Table):
        few = reading_asset(annotation, got, ins={"rows": dg.AssetIn(KEY, metadata={"columns": ["value", "t"]})})
        graph.run(whole(readings(JANUARY_2)), few)
    assert [list(got[0].columns), got[1].column_names] == [["value", "t"]] * 2
    wrong = reading_asset(pd.DataFrame, got, ins={"rows": dg.AssetIn(KEY, metadata={"columns": ["valeu"]})})
    result = graph.run(whole(readings(JANUARY_2)), wrong, raise_on_error=False)
    assert "it has no ['valeu']" in failure_of(result)


def test_an_asset_that_depends_on_its_own_yesterday(graph: Graph) -> None:
    yesterday = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
    seen: list[pd.DataFrame] = []

    @dg.asset(
        key=KEY, partitions_def=DAILY, metadata=NAMED, ins={"before": dg.AssetIn(KEY, partition_mapping=yesterday)}
    )
    def running_total(context: dg.AssetExecutionContext, before: pd.DataFrame) -> pd.DataFrame:
        seen.append(before)
        return readings(window_of(context), value=1.0 + before["value"].max() if len(before) else 1.0)

    for day in ("2024-01-01", DAY_1, DAY_2, "2024-01-01"):
        graph.run(running_total, key=day)
    assert [len(before) for before in seen] == [0, 4, 4, 0]
    assert seen[2]["t"].max() == pd.Timestamp("2024-01-03 00:00Z")
    assert graph.rows()["value"].unique().tolist() == [1.0, 2.0, 3.0]


def test_a_mapped_window_reaches_back(graph: Graph) -> None:
    got: list[pd.DataFrame] = []
    two_days = dg.AssetIn(KEY, partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1))
    looking_back = reading_asset(pd.DataFrame, got, partitions_def=DAILY, ins={"rows": two_days})
    graph.run(daily(), days=(DAY_1, DAY_3))
    graph.run(daily(), looking_back, only=looking_back, key=DAY_3)
    assert len(got[0]) == 8 and got[0]["t"].min() == pd.Timestamp("2024-01-03 06:00Z")


def test_an_unpartitioned_asset_loads_all_of_a_partitioned_one(graph: Graph) -> None:
    got: list[pd.DataFrame] = []
    everything = reading_asset(pd.DataFrame, got)
    graph.run(daily(), days=(DAY_1, DAY_3))
    graph.run(daily(), everything, only=everything)
    assert len(got[0]) == 12


def test_an_asset_of_another_code_location_loads_by_its_spec(graph: Graph) -> None:
    graph.run(daily(), key=DAY_1)
    got: list[pd.DataFrame] = []
    elsewhere = dg.AssetSpec(KEY, partitions_def=DAILY, metadata=NAMED).with_io_manager_key("io_manager")
    reader = reading_asset(pd.DataFrame, got, partitions_def=DAILY)
    graph.run(elsewhere, reader, key=DAY_1)
    assert len(got[0]) == 4


def test_loading_outside_a_run(graph: Graph) -> None:
    graph.run(daily(), days=(DAY_1, DAY_2))
    definitions = dg.Definitions([daily()], resources={"io_manager": ReadingsIOManager(timescale=graph.timescale)})
    loaded = definitions.load_asset_value(KEY, instance=graph.instance, partition_key=DAY_2)
    assert len(loaded) == 4


@pytest.mark.parametrize(("value", "annotation"), [([1, 2], list), ("text", str), (None, pd.DataFrame), (None, Any)])
def test_a_type_that_is_no_table_is_refused_with_advice(graph: Graph, value: object, annotation: object) -> None:
    result = graph.run(whole(value, annotation if annotation is Any else Any), raise_on_error=False)
    assert "return a DataFrame, a pyarrow.Table or a SliceStream" in failure_of(result)


@pytest.mark.parametrize("annotation", [list, dict[str, int], pyarrow.RecordBatch])
def test_an_annotation_that_is_no_table_is_refused_with_advice(graph: Graph, annotation: object) -> None:
    result = graph.run(whole(readings(JANUARY_2)), reading_asset(annotation, []), raise_on_error=False)
    assert "annotate the input as DataFrame, pyarrow.Table or TableReader" in failure_of(result)


def test_rows_outside_the_slice_are_refused(graph: Graph) -> None:
    @dg.asset(key=KEY, partitions_def=DAILY, metadata=NAMED)
    def a_day_too_many(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return readings(window_of(context).widened(after=timedelta(days=1)))

    result = graph.run(a_day_too_many, key=DAY_1, raise_on_error=False)
    assert "4 row(s) lie outside the slice that is written, e.g. {'region': 'north'" in failure_of(result)
    assert graph.rows().empty


@pytest.mark.parametrize(
    ("spec", "inside"),
    [
        (READINGS, ["2024-01-02 00:00:00.000001Z", "2024-01-03 00:00Z"]),
        (LEFT, ["2024-01-02 00:00Z", "2024-01-02 23:59:59.999999Z"]),
    ],
)
def test_exact_midnight_belongs_to_the_closed_side(graph: Graph, spec: TableSpec, inside: list[str]) -> None:
    stamps = ["2024-01-02 00:00Z", "2024-01-02 00:00:00.000001Z", "2024-01-02 23:59:59.999999Z", "2024-01-03 00:00Z"]
    everything = pd.DataFrame(
        {"region": "north", "station": 1, "t": pd.to_datetime(stamps, format="ISO8601"), "value": 1.0}
    )
    everything = conform(everything.assign(known_at=pd.Timestamp.now("UTC")), Reading)
    metadata = {"dagster/table_name": spec.qualified}
    held = JANUARY_2.holds(everything["t"], spec.closed)
    graph.run(whole(everything, metadata=metadata))
    rows = everything[held].assign(value=2.0).reset_index(drop=True)
    told = per_day(graph.run(whole(rows, metadata=metadata, partitions_def=DAILY), key=DAY_1))[DAY_1]
    assert (told["rows_changed"], told["rows_inserted"], told["rows_vanished"]) == (len(rows), 0, 0)
    after = graph.rows(spec).set_index("t")["value"]
    assert after.to_dict() == {stamp: 2.0 if is_in else 1.0 for stamp, is_in in zip(everything["t"], held, strict=True)}
    assert {pd.Timestamp(stamp) for stamp in inside} <= set(after[after == 2.0].index)
    got: list[pd.DataFrame] = []
    reader = reading_asset(pd.DataFrame, got, partitions_def=DAILY)
    graph.run(whole(rows, metadata=metadata, partitions_def=DAILY), reader, only=reader, key=DAY_1)
    assert got[0]["value"].tolist() == [2.0] * len(rows)


RETRY_TWICE = dg.RetryPolicy(max_retries=2)


def test_rows_that_break_the_model_end_the_run_at_once_and_nothing_is_written(graph: Graph) -> None:
    tries: list[int] = []

    @dg.asset(key=KEY, partitions_def=DAILY, metadata=NAMED, retry_policy=RETRY_TWICE)
    def negative(context: dg.AssetExecutionContext) -> pd.DataFrame:
        tries.append(1)
        rows = readings(window_of(context))
        rows.loc[[1, 2], "value"] = -1.0
        return rows

    graph.run(daily(), key=DAY_1)
    before = graph.rows()
    told = failure_of(graph.run(negative, key=DAY_1, raise_on_error=False))
    assert "value breaks greater_than_or_equal_to(0) in 2 row(s), e.g. '-1.0'; nothing was written" in told
    assert len(tries) == 1
    pd.testing.assert_frame_equal(graph.rows(), before)


def test_what_only_the_database_can_refuse_ends_the_run_at_once(graph: Graph) -> None:
    twice = pd.concat([readings(JANUARY_2)] * 2, ignore_index=True)
    result = graph.run(whole(twice, retry_policy=RETRY_TWICE), raise_on_error=False)
    assert "the database refuses the rows" in failure_of(result) and "duplicate key" in failure_of(result)
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert graph.rows().empty


def test_an_error_that_may_pass_is_left_to_the_retry_policy(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fails = Transaction.copy, [1]

    def cut_off_once(self: Transaction, table: sa.Table, rows: pyarrow.Table) -> None:
        """The server ends the session in the middle of the write."""
        real(self, table, rows)
        if fails:
            fails.pop()
            mine = self.fetch(sa.select(sa.func.pg_backend_pid().label("pid")))["pid"][0].as_py()
            with graph.timescale.connect() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(mine)))

    monkeypatch.setattr(Transaction, "copy", cut_off_once)
    result = graph.run(daily(retry_policy=RETRY_TWICE), key=DAY_1)
    retried = [event for event in result.all_events if event.is_step_up_for_retry]
    assert result.success and len(retried) == 1
    assert DatabaseUnavailable.__name__ in str(retried[0].step_retry_data.error)
    assert len(graph.rows()) == 4


def test_a_stream_commits_slice_by_slice(graph: Graph) -> None:
    def writes(window: Window, fails: bool) -> Iterator[SliceWrite]:
        for piece in window.split(timedelta(days=1)):
            if fails and piece.start.day == 4:
                raise DatabaseUnavailable("the source went away")
            yield SliceWrite(rows=readings(piece), window=piece)

    def streaming(fails: bool) -> dg.AssetsDefinition:
        @dg.asset(key=KEY, partitions_def=DAILY, metadata=NAMED, backfill_policy=ONE_RUN)
        def asset(context: dg.AssetExecutionContext) -> SliceStream:
            return SliceStream(writes(window_of(context), fails))

        return asset

    assert not graph.run(streaming(True), days=(DAY_1, DAY_3), raise_on_error=False).success
    assert len(graph.rows()) == 8
    told = per_day(graph.run(streaming(False), days=(DAY_1, DAY_3)))
    assert [told[day]["rows_inserted"] for day in (DAY_1, DAY_2, DAY_3)] == [0, 0, 4]


def test_a_stream_narrows_by_units_and_refuses_what_lies_outside(graph: Graph) -> None:
    def stream(*writes: SliceWrite) -> dg.AssetsDefinition:
        return whole(SliceStream(writes), SliceStream, partitions_def=DAILY)

    one, two = readings(JANUARY_2), readings(JANUARY_2).assign(station=2)
    both = stream(SliceWrite(rows=one, units=(1,)), SliceWrite(rows=two, window=JANUARY_2, units=(2,)))
    told = per_day(graph.run(both, key=DAY_1))[DAY_1]
    assert told["dagster/partition_row_count"] == 8
    again = graph.run(stream(SliceWrite(rows=one.assign(value=5.0), units=(pd.array([1])[0],))), key=DAY_1)
    told = per_day(again)[DAY_1]
    assert [told[f"rows_{kind}"] for kind in ("changed", "unchanged")] == [4, 4]
    assert told["dagster/partition_row_count"] == 8
    assert graph.rows().groupby("station")["value"].first().to_dict() == {1: 5.0, 2: 1.0}
    graph.run(stream(SliceWrite(rows=one.head(0), units=())), key=DAY_1)
    assert len(graph.rows()) == 8
    wrong_unit = graph.run(stream(SliceWrite(rows=two, units=(1,))), key=DAY_1, raise_on_error=False)
    assert "4 row(s) lie outside the slice" in failure_of(wrong_unit)
    later = Window.of_days(date(2024, 1, 9), date(2024, 1, 9))
    outside = graph.run(stream(SliceWrite(rows=one, window=later)), key=DAY_1, raise_on_error=False)
    assert "lies outside the partitions of this run" in failure_of(outside)


class Watching(ReadingsIOManager):
    """Counts the frames of slices already written that are still in memory."""

    _frames: list[weakref.ref[pd.DataFrame]] = PrivateAttr(default_factory=list)
    _most: int = PrivateAttr(0)

    def record(self, context: dg.OutputContext, transaction: Transaction, written: Written) -> None:
        self._most = max(self._most, sum(frame() is not None for frame in self._frames))
        self._frames.append(weakref.ref(written.write.rows))


def test_a_stream_is_not_kept_in_memory(timescale: TimescaleResource) -> None:
    window = Window.of_days(date(2024, 1, 1), date(2024, 1, 9))
    manager = Watching(timescale=timescale)
    stream = SliceStream(SliceWrite(rows=readings(day), window=day) for day in window.split(timedelta(days=1)))
    manager.handle_output(dg.build_output_context(asset_key=KEY, definition_metadata=NAMED), stream)
    assert len(manager._frames) == 9
    assert manager._most <= 1


def test_a_reader_reads_window_by_window(graph: Graph) -> None:
    graph.run(daily(), days=(DAY_1, DAY_3))
    got: list[TableReader] = []
    reader = reading_asset(TableReader, got, partitions_def=DAILY, backfill_policy=ONE_RUN)
    graph.run(daily(), reader, only=reader, days=(DAY_2, DAY_3))
    (table,) = got
    assert table.windows == (Window.of_days(date(2024, 1, 3), date(2024, 1, 4)),)
    assert [len(table.read(day)) for day in table.windows[0].split(timedelta(days=1))] == [4, 4]
    assert len(table.read(table.windows[0].widened(before=timedelta(days=1)))) == 12
    assert (len(table.read()), len(table.read(units=[1])), len(table.read(units=[2])), len(table.read(units=[]))) == (
        8,
        8,
        0,
        0,
    )


def test_arrow_tables_go_in_and_come_out(graph: Graph) -> None:
    rows = readings(JANUARY_2)
    table = pyarrow.table({name: pyarrow.Array.from_pandas(rows[name]) for name in rows})
    got: list[pyarrow.Table] = []
    graph.run(whole(table, pyarrow.Table), reading_asset(pyarrow.Table, got))
    assert got[0].column("t").type == pyarrow.timestamp("us", tz="UTC")
    pd.testing.assert_frame_equal(graph.rows(), rows)
    lossy = table.set_column(1, "station", pyarrow.array([1.5] * 4))
    result = graph.run(whole(lossy, pyarrow.Table), raise_on_error=False)
    assert "Reading.station: " in failure_of(result)
    assert "no column 'more'" in failure_of(
        graph.run(whole(table.append_column("more", [[1] * 4]), pyarrow.Table), raise_on_error=False)
    )


class Wider(Reading):
    """Reading with what came later."""

    note: Text = pandera.Field(nullable=True)
    checked: pd.BooleanDtype = pandera.Field(nullable=True)
    count: pd.Int64Dtype = pandera.Field(nullable=True)


class Retyped(Reading):
    """Reading with a station that is a name."""

    station: Text


class Demanding(Reading):
    """Reading with a new column that may not be null."""

    note: Text


class Nullable(Reading):
    """Reading whose station may be unknown; it is no part of the key."""

    known_at: UtcTimestamp = pandera.Field(nullable=True)


def evolved(model: type[TableModel], **changes: Any) -> type[ReadingsIOManager]:
    spec = replace(READINGS, model=model, **changes)
    return type("Evolved", (ReadingsIOManager,), {"tables": {spec.qualified: spec}, "__annotations__": {}})


def test_a_table_is_widened_by_columns_that_may_be_null(graph: Graph) -> None:
    graph.run(daily(), days=(DAY_1, DAY_2))
    manager = evolved(Wider)(timescale=graph.timescale)
    rows = conform(readings(JANUARY_2, value=2.0).assign(note=["a", None, "c", "d"], count=2**60), Wider)
    context = dg.build_output_context(asset_key=KEY, definition_metadata=NAMED)
    spec = manager.spec_of(context)
    manager.write(context, TableSlice.of_window(spec, JANUARY_2), SliceWrite(rows=rows))
    after = graph.rows(spec)
    pd.testing.assert_frame_equal(after.head(4), rows)
    assert after["note"].tail(4).isna().all() and len(after) == 8
    # Whoever still runs the older code can go on.
    assert graph.run(daily(), key=DAY_3).success


def test_a_column_that_may_now_be_null_is_let_go(graph: Graph) -> None:
    graph.run(daily(), key=DAY_1)
    manager = evolved(Nullable, known_at=None)(timescale=graph.timescale)
    context = dg.build_output_context(asset_key=KEY, definition_metadata=NAMED)
    spec = manager.spec_of(context)
    rows = readings(JANUARY_2, value=2.0).assign(known_at=pd.Series([pd.NaT] * 4, dtype="datetime64[us, UTC]"))
    manager.write(context, TableSlice.of_window(spec, JANUARY_2), SliceWrite(rows=rows))
    assert graph.rows(spec)["known_at"].isna().all()


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (Retyped, {}, "station is BIGINT in the database and TEXT in Retyped"),
        (Demanding, {}, "note is new and may not be null"),
        (Reading, {"key": ("station", "t")}, "has the key"),
    ],
)
def test_a_table_is_never_narrowed(graph: Graph, model: type[TableModel], changes: dict[str, Any], words: str) -> None:
    graph.run(daily(), key=DAY_1)
    before = graph.rows()
    manager = evolved(model, **changes)(timescale=graph.timescale)
    context = dg.build_output_context(asset_key=KEY, definition_metadata=NAMED)
    with pytest.raises(dg.Failure, match=words):
        manager.handle_output(context, before)
    pd.testing.assert_frame_equal(graph.rows(), before)


WRITER = """
import sys
from datetime import date
import dagster as dg
from resources.timescale.resource import TimescaleResource
from resources.timescale.slices import SliceWrite
from resources.timescale.table_slice import Part, TableSlice
from schemas.window import Window
from tests.integration.test_timescale_io_manager import KEY, NAMED, READINGS, ReadingsIOManager, readings

url, value, first, last, times, bounded = sys.argv[1:]
window = Window.of_days(date.fromisoformat(first), date.fromisoformat(last))
manager = ReadingsIOManager(timescale=TimescaleResource(database_url=url))
context = dg.build_output_context(asset_key=KEY, definition_metadata=NAMED)
whole = TableSlice.of_window(READINGS, window) if bounded == "bounded" else TableSlice(READINGS)
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(times)):
    rows = readings(window, value=float(value) + n, every_h=1)
    if n % 2 and value == "1000":
        rows = rows.iloc[::2].reset_index(drop=True)
    manager.write(context, whole, SliceWrite(rows=rows))
"""


def write_at_once(url: str, *writers: tuple[str, str, str, str, str]) -> None:
    """Runs the writers in processes of their own, all let go at the same moment."""
    command = [sys.executable, "-c", WRITER, url]
    processes = [
        subprocess.Popen(
            [*command, *w], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for w in writers
    ]
    try:
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n", process.communicate()
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_two_writers_of_one_slice_never_interleave(graph: Graph) -> None:
    graph.run(daily(), key="2024-01-10")
    write_at_once(
        graph.timescale.url(),
        ("1000", DAY_1, DAY_2, "15", "bounded"),
        ("2000", DAY_1, DAY_2, "15", "bounded"),
    )
    rows = graph.rows()
    written = rows[rows["value"] > 1]
    assert written["value"].nunique() == 1 and len(written) == 48
    assert len(rows) == 52


def test_writers_of_overlapping_ranges_and_of_the_whole_table_do_not_deadlock(graph: Graph) -> None:
    write_at_once(
        graph.timescale.url(),
        ("1000", DAY_1, "2024-01-06", "10", "bounded"),
        ("2000", DAY_3, "2024-01-09", "10", "bounded"),
        ("3000", "2024-01-01", DAY_3, "10", "whole"),
    )
    rows = graph.rows()
    assert rows.groupby(rows["t"].dt.ceil("D"))["value"].nunique().max() == 1


def test_writers_of_different_days_do_not_wait_for_each_other(graph: Graph) -> None:
    graph.run(daily(), key=DAY_1)
    day, other = (TableSlice.of_window(READINGS, Window.of_days(d, d)) for d in (date(2024, 1, 2), date(2024, 1, 3)))
    with graph.timescale.transaction() as first, graph.timescale.transaction() as second:
        for statement in sql.lock_slice(day):
            first.execute(statement)
        second.execute(sql.set_local("lock_timeout", "100ms"))
        for statement in sql.lock_slice(other):
            second.execute(statement)
    for waiting in (day, TableSlice(READINGS)):
        with graph.timescale.transaction() as first, pytest.raises(DatabaseUnavailable, match="lock timeout"):
            for statement in sql.lock_slice(day):
                first.execute(statement)
            with graph.timescale.transaction() as second:
                second.execute(sql.set_local("lock_timeout", "100ms"))
                for statement in sql.lock_slice(waiting):
                    second.execute(statement)


PASSWORD = "s3cr=t/p@ss:w%rd +ü"


def everything_said(result: dg.ExecuteInProcessResult, caplog: pytest.LogCaptureFixture) -> str:
    """All that a run left behind: events with their errors and metadata, and logs."""
    return "\n".join([*(str(event) for event in result.all_events), caplog.text])


def run_against(url: str, caplog: pytest.LogCaptureFixture) -> tuple[str, int]:
    """What a run on a database out of reach says, and how often it tried; the password is said nowhere."""
    caplog.set_level(logging.DEBUG)
    timescale = TimescaleResource(database_url=url)
    with dg.DagsterInstance.ephemeral() as instance:
        result = Graph(timescale, instance).run(
            whole(readings(JANUARY_2), retry_policy=RETRY_TWICE), raise_on_error=False
        )
        again = len([event for event in result.all_events if event.is_step_up_for_retry])
        for text in (everything_said(result, caplog), repr(timescale), str(timescale)):
            for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3cr"):
                assert secret not in text
        return failure_of(result), 1 + again


def url_with_password(netloc: str, database: str = "tidemark") -> str:
    return f"postgresql://somebody:{quote(PASSWORD, safe='')}@{netloc}/{database}"


@contextmanager
def server_that_says(state: str, message: str) -> Iterator[str]:
    """`host:port` of a server that speaks PostgreSQL's protocol as far as to ask for the password and refuse."""

    class Session(socketserver.StreamRequestHandler):
        def packet(self) -> bytes:
            return self.rfile.read(int.from_bytes(self.rfile.read(4)) - 4)

        def handle(self) -> None:
            while self.packet()[:2] == b"\x04\xd2":  # asks for TLS or GSS
                self.wfile.write(b"N")
            self.wfile.write(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
            self.rfile.read(1)
            self.packet()
            body = f"SFATAL\0VFATAL\0C{state}\0M{message}\0\0".encode()
            self.wfile.write(b"E" + (len(body) + 4).to_bytes(4) + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("state", "message", "words", "tries"),
    [
        ("28P01", 'password authentication failed for user "somebody"', "the database refused the user", 1),
        ("28000", 'role "somebody" does not exist', "the database refused the user", 1),
        ("3D000", 'database "tidemark" does not exist', "TIDEMARK_DATABASE_URL does not exist", 1),
        ("57P03", "the database system is starting up", "the database does not answer", 3),
        ("53300", "sorry, too many clients already", "the database does not answer", 3),
    ],
)
def test_a_server_that_refuses_gives_one_clear_error(
    state: str, message: str, words: str, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    with server_that_says(state, message) as netloc:
        told, tried = run_against(url_with_password(netloc), caplog)
    assert words in told and message in told
    assert tried == tries


def test_no_server_is_an_error_that_may_pass(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        netloc = f"127.0.0.1:{free.getsockname()[1]}"
    told, tried = run_against(url_with_password(netloc), caplog)
    assert "the database does not answer" in told and "Connection refused" in told and tried == 3


@pytest.mark.parametrize(
    "url",
    [f"mysql://somebody:{quote(PASSWORD)}@h/d", f"postgresql://somebody:{quote(PASSWORD, safe='')}@h:s3cr/d", "s3cr"],
)
def test_a_url_that_cannot_be_read_is_a_setting_to_mend(url: str, caplog: pytest.LogCaptureFixture) -> None:
    told, tried = run_against(url, caplog)
    assert "the database URL must read postgresql://user:password@host:port/database" in told and tried == 1


def test_a_wrong_password_and_a_missing_database_on_a_real_server(
    timescale_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    real = sa.make_url(timescale_server)
    told, tried = run_against(real.set(password=PASSWORD).render_as_string(hide_password=False), caplog)
    assert "the database refused the user" in told and tried == 1
    with (
        pytest.raises(ConfigurationError, match="does not exist"),
        TimescaleResource(database_url=real.set(database="nowhere").render_as_string(hide_password=False)).connect(),
    ):
        pass


@pytest.fixture
def newcomer(database_url: str) -> Iterator[str]:
    """The URL of a user with that password and no right but to connect and to read the catalog."""
    name = f"newcomer_{uuid.uuid4().hex[:8]}"
    role = sa.sql.quoted_name(name, quote=True)
    timescale = TimescaleResource(database_url=database_url)
    with timescale.connect() as connection:
        connection.execute(sa.DDL("CREATE ROLE %(role)s LOGIN", context={"role": role}))
        # A literal: no server takes a password as a parameter.
        literal = sa.literal(PASSWORD).compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
        statement = f"ALTER ROLE {name} PASSWORD {str(literal).replace('%%', '%')}"
        connection.exec_driver_sql(statement.replace("%", "%%"))
    yield sa.make_url(database_url).set(username=name, password=PASSWORD).render_as_string(hide_password=False)
    with timescale.connect() as connection:
        connection.execute(sa.DDL("DROP OWNED BY %(role)s CASCADE", context={"role": role}))
        connection.execute(sa.DDL("DROP ROLE %(role)s", context={"role": role}))


def test_a_writer_without_rights_is_told_so(newcomer: str, caplog: pytest.LogCaptureFixture) -> None:
    told, tried = run_against(newcomer, caplog)
    assert "the database user lacks a right" in told and CredentialsRejected.__name__ in told
    assert tried == 1


def test_a_reader_needs_no_right_but_to_read(newcomer: str, graph: Graph) -> None:
    graph.run(whole(readings(JANUARY_2)))
    reader = sa.make_url(newcomer).username
    with graph.timescale.connect() as connection:
        schema, role = (sa.sql.quoted_name(name, quote=True) for name in (READINGS.schema, str(reader)))
        quote_name = connection.dialect.identifier_preparer.quote
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {quote_name(schema)} TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {quote_name(schema)} TO {role}")
    got: list[pd.DataFrame] = []
    only_reading = Graph(TimescaleResource(database_url=newcomer), graph.instance)
    consumer = reading_asset(pd.DataFrame, got)
    only_reading.run(whole(readings(JANUARY_2)), consumer, only=consumer)
    assert len(got[0]) == 4
