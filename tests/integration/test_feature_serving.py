"""What is served is the newest row of the table, in each online store, whatever is written in whichever order.

The rows of a table of sales with a key of two texts are written by Dagster's own runs; what is looked up afterwards is
compared with the table.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from resources.errors import ConfigurationError
from resources.feast.feature_view import FeatureView
from resources.feast.io_manager import FeastIOManager
from resources.timescale import server
from schemas.catalog import LEDGER, QUARANTINE
from tests.served import DAILY, DAY, SALES, Serving, moment, sales_rows

pytestmark = pytest.mark.timeout(600)
STORES = ["sqlite", "redis", "postgres"]
TEA, SALT = ("north", "tea"), ("south", "salt")
DAYS = [DAY + timedelta(days=number) for number in range(10)]


@pytest.fixture(scope="module", params=STORES)
def shared(
    request: pytest.FixtureRequest, embedded: server.EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Serving:
    """A database whose server keeps a far time zone, and an online store of each kind."""
    name = f"serving_{request.param}"
    server.ensure_databases(embedded, [name])
    engine = sa.create_engine(
        embedded.url("postgres").replace("postgresql:", "postgresql+psycopg2:", 1), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET timezone TO 'Asia/Kathmandu'"))
    engine.dispose()
    url = {"sqlite": "", "postgres": "postgres"}.get(request.param)
    if url is None:
        url = request.getfixturevalue("redis_store").url(db=1)
    return Serving(embedded.url(name), tmp_path_factory.mktemp("home"), url)


@pytest.fixture
def serving(shared: Serving) -> Iterator[Serving]:
    """The same with nothing in it."""
    shared.erase()
    return shared


def test_an_older_row_that_is_written_later_does_not_replace_a_newer_one(serving: Serving) -> None:
    serving.sell({(TEA, DAYS[9]): 9.0}, DAYS[9])
    serving.sell({(TEA, DAYS[3]): 3.0}, DAYS[3])
    assert serving.served([TEA]) == {TEA: 9.0}
    serving.assert_online_is_offline()


def test_a_backfill_of_old_days_writes_nothing_online(serving: Serving) -> None:
    serving.sell({(key, DAYS[9]): 9.0 for key in (TEA, SALT)}, DAYS[9])
    with serving.written_online() as written:
        serving.sell({(key, day): 1.0 for key in (TEA, SALT) for day in DAYS[:9]}, DAYS[0], DAYS[8])
    assert written == []
    assert serving.pending() == {}


def test_a_correction_of_the_same_time_is_served(serving: Serving) -> None:
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 2.0})
    result = serving.sell({(TEA, DAY): 1.5, (SALT, DAY): 2.0})
    assert serving.served([TEA, SALT]) == {TEA: 1.5, SALT: 2.0}
    assert serving.numbers(result)["online_keys_written"] == 1
    assert serving.numbers(result)["online_keys_pending"] == 0


def test_days_that_come_in_one_batch_in_any_order_end_with_the_newest(serving: Serving) -> None:
    rows = sales_rows({(TEA, DAYS[8]): 8.0, (TEA, DAYS[7]): 7.0, (SALT, DAYS[7]): 70.0})
    assert serving.write(rows, DAYS[7], DAYS[8]).success
    assert serving.served([TEA, SALT]) == {TEA: 8.0, SALT: 70.0}


def test_a_slice_that_is_written_twice_changes_nothing(serving: Serving) -> None:
    serving.sell({(TEA, DAY): 1.0})
    result = serving.sell({(TEA, DAY): 1.0})
    assert serving.numbers(result)["online_keys_written"] == 0
    assert serving.numbers(result)["rows_unchanged"] == 1


def test_when_the_newest_rows_go_the_one_before_is_served(serving: Serving) -> None:
    serving.sell({(TEA, day): float(n) for n, day in enumerate(DAYS)}, DAYS[0], DAYS[9])
    serving.delete(since=DAYS[4])
    assert serving.served([TEA]) == {TEA: 3.0}
    assert serving.lookup([TEA], "revenue")["event_timestamp"].tolist() == [moment(DAYS[4])]  # where the day ends


def test_a_key_without_rows_serves_nulls_and_comes_back(serving: Serving) -> None:
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 2.0})
    serving.sell({(SALT, DAY): 2.0})
    found = serving.lookup([TEA, ("never", "seen")])
    assert found[SALES.features].isna().all(axis=None)
    assert found["event_timestamp"].isna().all()
    assert found["is_stale"].all()
    serving.sell({(TEA, DAYS[0]): 4.0, (SALT, DAYS[0]): 2.0}, DAYS[0])
    assert serving.served([TEA]) == {TEA: 4.0}


def test_a_newer_row_whose_features_are_all_null_is_served_as_nulls(serving: Serving) -> None:
    serving.sell({(TEA, DAYS[0]): 1.0}, DAYS[0])
    serving.sell({(TEA, DAYS[1]): None}, DAYS[1])
    found = serving.lookup([TEA], "revenue")
    assert found["revenue"].isna().tolist() == [True]
    assert found["event_timestamp"].tolist() == [moment(DAYS[2])]


def test_a_row_from_the_future_does_not_block_what_follows_its_deletion(serving: Serving) -> None:
    serving.sell({(TEA, DAYS[9]): 9.0}, DAYS[9])
    serving.delete(since=DAYS[9])
    serving.sell({(TEA, DAYS[1]): 1.0}, DAYS[1])
    assert serving.served([TEA]) == {TEA: 1.0}


def test_a_row_older_than_the_ttl_is_stale_and_one_within_it_is_not(serving: Serving) -> None:
    today = pd.Timestamp.now("UTC").date()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.served.DAILY", dg.DailyPartitionsDefinition("2025-01-01", end_offset=1))
        serving.sell({(TEA, today): 1.0}, today)
    serving.sell({(SALT, DAY): 1.0})
    assert serving.lookup([TEA, SALT], "revenue")["is_stale"].tolist() == [False, True]


def test_feasts_own_materialize_and_push_never_go_back_in_time(serving: Serving) -> None:
    serving.sell({(TEA, DAYS[9]): 9.0, (SALT, DAYS[2]): 2.0}, DAYS[2], DAYS[9])
    old = sales_rows({(TEA, DAYS[1]): 1.0, (SALT, DAYS[2]): 2.5, (SALT, DAYS[1]): 1.0})
    serving.push_by_feast(old)
    assert serving.served([TEA, SALT]) == {TEA: 9.0, SALT: 2.5}
    serving.push_by_feast(sales_rows({(TEA, DAYS[9]): 9.5}))
    assert serving.served([TEA]) == {TEA: 9.5}
    serving.materialize_by_feast(DAYS[0], DAYS[3])
    assert serving.served([TEA, SALT]) == {TEA: 9.5, SALT: 2.0}


@hypothesis_settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.dictionaries(
                st.sampled_from([TEA, SALT, ("north", "salt"), ("", "northsalt")]), st.integers(0, 3), max_size=4
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_order_of_writes_ends_with_online_equal_to_offline(
    shared: Serving, writes: list[tuple[int, dict[Any, int]]]
) -> None:
    shared.erase()
    for number, revenue in writes:
        rows = sales_rows({(key, DAYS[number]): float(value) for key, value in revenue.items()})
        assert shared.write(rows, DAYS[number]).success
    shared.assert_online_is_offline()
    touched = {key for _, revenue in writes for key in revenue}
    gone = touched - {tuple(key) for key in shared.truth()[list(SALES.entities)].itertuples(index=False, name=None)}
    assert all(value is None for value in shared.served(gone).values()) if gone else True
    assert shared.pending() == {}


def test_nan_is_null_and_a_row_with_an_infinite_feature_is_put_aside(serving: Serving) -> None:
    keys = {TEA: 1.0, SALT: np.inf, ("east", "oil"): -np.inf, ("east", "tea"): np.nan}
    assert serving.write(sales_rows({(key, DAY): value for key, value in keys.items()})).success
    assert serving.served(keys) == {TEA: 1.0, SALT: None, ("east", "oil"): None, ("east", "tea"): None}
    assert len(serving.rows()) == 2
    with serving.timescale.connect() as connection:
        rules = connection.execute(sa.select(QUARANTINE.c.rule, sa.func.count()).group_by(QUARANTINE.c.rule)).all()
        ledger = sa.select(LEDGER.c.read, LEDGER.c.loaded, LEDGER.c.quarantined).where(LEDGER.c.is_current)
        assert connection.execute(ledger).all() == [(4, 2, 2)]
    assert rules == [("revenue: finite", 2)]


def test_duplicate_keys_are_refused_and_nothing_is_served(serving: Serving) -> None:
    serving.sell({(TEA, DAY): 1.0})
    rows = sales_rows({(TEA, DAY): 2.0})
    result = serving.write(pd.concat([rows, rows], ignore_index=True))
    assert not result.success
    assert serving.served([TEA]) == {TEA: 1.0}
    assert serving.pending() == {}


def test_numbers_are_exact_and_types_are_the_models(serving: Serving) -> None:
    serving.sell({(TEA, DAY): 0.1 + 0.2})
    found = serving.lookup([TEA, ("never", "seen")])
    assert found["revenue"].tolist()[0] == 0.1 + 0.2
    assert {str(dtype) for dtype in found[SALES.features].dtypes} == {"float64"}


def test_a_partition_is_read_back_and_a_view_answers_as_of_moments(serving: Serving) -> None:
    serving.sell({(TEA, day): float(n) for n, day in enumerate(DAYS)}, DAYS[0], DAYS[9])
    seen: dict[str, Any] = {}
    moments = pd.DataFrame(
        {
            "region": ["north", "north", "never"],
            "product_name": ["tea", "tea", "seen"],
            "event_timestamp": pd.to_datetime(["2025-03-04 12:00", "2026-03-04 00:00", "2025-03-04 00:00"], utc=True),
            "label": [1, 2, 3],
        }
    )
    key = [SALES.schema, SALES.name]
    upstream = dg.AssetSpec(key, partitions_def=DAILY, metadata={"dagster/io_manager_key": "feast_io_manager"})

    @dg.asset(partitions_def=DAILY, ins={"sales": dg.AssetIn(key)}, io_manager_key="nothing")
    def reads_rows(sales: pd.DataFrame) -> None:
        seen["rows"] = sales

    @dg.asset(partitions_def=DAILY, ins={"sales": dg.AssetIn(key)}, io_manager_key="nothing")
    def asks_the_view(sales: FeatureView) -> None:
        seen["as of"] = sales.as_of(moments, ["revenue"])
        seen["online"] = sales.online(moments, ["revenue"])

    result = dg.materialize(
        [upstream, reads_rows, asks_the_view],
        partition_key=DAYS[3].isoformat(),
        resources={
            "feast_io_manager": FeastIOManager(timescale=serving.timescale, feast=serving.feast),
            "nothing": dg.mem_io_manager,
        },
    )
    assert result.success
    assert seen["rows"]["revenue"].tolist() == [3.0]
    as_of = seen["as of"].sort_values("label")
    assert as_of["label"].tolist() == [1, 2, 3]
    assert as_of["revenue"].tolist()[0] == 2.0  # at noon the day is not over
    assert as_of["revenue"].isna().tolist() == [False, True, True]
    assert seen["online"]["revenue"].tolist()[:2] == [9.0, 9.0]


def test_what_nobody_can_be_asked_is_told(serving: Serving) -> None:
    keys = pd.DataFrame({"region": ["north"], "product_name": ["tea"]})
    for wanted, told in [
        ("no_view", "one view is asked for at a time"),
        (["sales_features:revenue", "meters_features:x"], "one view is asked for at a time"),
        (["sales_features:nothing"], "has no feature"),
    ]:
        with pytest.raises(ConfigurationError, match=told):
            serving.feast.online(wanted, keys)
    with pytest.raises(ConfigurationError, match=r"the keys lack \['product_name'\]"):
        serving.feast.online("sales_features", keys[["region"]])


def test_no_keys_are_answered_with_no_rows(serving: Serving) -> None:
    serving.sell({(TEA, DAY): 1.0})
    found = serving.lookup([], "revenue")
    assert len(found) == 0
    assert list(found.columns) == ["region", "product_name", "revenue", "event_timestamp", "is_stale"]
