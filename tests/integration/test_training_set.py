"""`tidemark training-set` on a real database: what it holds, that it can be made again, and what it refuses."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from assets_pkg.cli import main
from resources.catalog import dirty_days
from resources.catalog.io_manager import LedgerIOManager
from resources.catalog.schema import CatalogedTimescale
from resources.feast import training_set as made
from resources.timescale import server
from schemas.catalog import DIRTY_DAYS
from schemas.catalog_features import TRAINING_SETS
from tests.builders import feature_rows, together
from tests.point_in_time import looked_up, rows_of

pytestmark = pytest.mark.timeout(600)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, LOCATIONS = 3, (1, 2, 12)
KEY = dg.AssetKey(["features", "air_quality_hourly"])
DAILY = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-02-01")
VIEW = "air_quality_hourly"
FEATURES = ["pm25_ugm3", "aqi", "pm25_mean_24h_ugm3"]
ASKED = ",".join(f"{VIEW}:{name}" for name in FEATURES)
ON_GRID = ("--every", "5h", "--from", "2024-01-01T01:30", "--to", "2024-01-05")


class Stage:
    """Three days of features at three locations, and the command line."""

    def __init__(self, url: str, folder: Path) -> None:
        self.timescale, self.folder = CatalogedTimescale(database_url=url), folder
        self.instance = dg.DagsterInstance.ephemeral()
        self.rows = [self.made_up(day, Random(day)) for day in range(DAYS)]
        for day in range(DAYS):
            self.write(day)

    @staticmethod
    def made_up(day: int, random: Random, known_at: datetime = FIRST) -> pd.DataFrame:
        """Hours at random; a value in ten is missing."""
        parts = []
        for location in LOCATIONS:
            hours = sorted(random.sample(range(1, 25), 18))
            numbers = [None if random.random() < 0.1 else random.random() * 50 for _ in hours]
            parts.append(
                feature_rows(
                    len(hours),
                    location_id=location,
                    datetime_utc=[FIRST + timedelta(days=day, hours=hour) for hour in hours],
                    pm25_ugm3=numbers,
                    pm25_mean_24h_ugm3=[random.random() for _ in hours],
                    aqi=[None if n is None else int(n) for n in numbers],
                    known_at=known_at,
                )
            )
        return together(*parts)

    def write(self, day: int) -> None:
        """Has the IO manager replace the day."""

        @dg.asset(key=KEY, partitions_def=DAILY)
        def asset() -> pd.DataFrame:
            return self.rows[day]

        manager = LedgerIOManager(timescale=self.timescale)
        key = f"{FIRST + timedelta(days=day):%Y-%m-%d}"
        assert dg.materialize(
            [asset], partition_key=key, instance=self.instance, resources={"io_manager": manager}
        ).success

    def run(self, *arguments: str) -> int:
        return main(["training-set", *arguments])

    def build(self, name: str, *arguments: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        out = self.folder / f"{name}.parquet"
        assert self.run("build", name, "--features", ASKED, *arguments, "--out", str(out)) == 0
        return pq.read_table(out).to_pandas(), self.recipe(name)

    def recipe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.recipe.json").read_text())
        return found

    def rebuild(self, name: str, *arguments: str) -> int:
        return self.run("rebuild", str(self.folder / f"{name}.recipe.json"), *arguments)

    def execute(self, *statements: sa.Executable) -> None:
        with self.timescale.connect() as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture(scope="module")
def filled(embedded: server.EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    server.ensure_databases(embedded, ["training_set"])
    stage = Stage(embedded.url("training_set"), tmp_path_factory.mktemp("sets"))
    yield stage
    stage.instance.dispose()


@pytest.fixture
def stage(filled: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The same database for all tests; each has a folder of its own, and leaves no table of others behind."""
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", filled.timescale.database_url)
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    monkeypatch.setattr(made, "BATCH", 17)
    filled.folder = tmp_path
    filled.execute(sa.delete(DIRTY_DAYS))
    yield filled
    with filled.timescale.connect() as connection:
        for name in ("feature_scaling", "feature_sets"):
            sa.Table(name, sa.MetaData(), schema="features").drop(connection, checkfirst=True)


def expected(rows: list[pd.DataFrame], entities: pd.DataFrame) -> list[tuple[object, ...]]:
    return looked_up(
        entities,
        pd.concat(rows),
        keys=["location_id"],
        features=FEATURES,
        ttl=timedelta(days=1),
        time="datetime_utc",
        created="known_at",
    )


def test_a_grid_is_every_entity_at_every_moment_looked_up_exactly(stage: Stage) -> None:
    rows, recipe = stage.build("grid", *ON_GRID)
    assert list(rows.columns) == ["location_id", "event_timestamp", *FEATURES]
    moments = pd.date_range("2024-01-01T01:30", "2024-01-05", freq="5h", tz="UTC")
    assert rows_of(rows, ["location_id", "event_timestamp"]) == [(n, m) for n in LOCATIONS for m in moments]
    assert rows_of(rows, FEATURES) == expected(stage.rows, rows)
    assert recipe["recipe"]["views"][VIEW] == {"table": "features.air_quality_hourly", "version": 1, "ttl_s": 86400.0}
    assert recipe["result"]["rows"] == len(rows)
    with stage.timescale.connect() as connection:
        noted = sa.select(TRAINING_SETS.c.digest).where(TRAINING_SETS.c.training_set_id == recipe["id"])
        assert connection.execute(noted).scalar_one() == recipe["result"]["digest"]


def test_it_is_made_again_bit_for_bit_after_whatever_came_late(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    entities = pd.DataFrame(
        {
            "location_id": [12, 1, 1, 99, 2],
            "event_timestamp": ["2024-01-02T03:30", "2024-01-01T09:00", "2024-01-01T09:00", "2024-01-02", "2024-01-03"],
            "target": [0.1, np.nan, 2.0, 3.0, -0.0],
        }
    )
    entities.to_csv(stage.folder / "moments.csv", index=False)
    _, by_file = stage.build("file", "--entities", str(stage.folder / "moments.csv"))
    label = ("--label", f"{VIEW}:pm25_ugm3@+24h")
    before, by_grid = stage.build("grid", *ON_GRID, *label)
    assert before["label_pm25_ugm3_in_24h"].notna().any()
    random = Random(7)
    for _ in range(6):  # each: corrections, deletions and insertions
        day = random.randrange(DAYS)
        rows = stage.rows[day].sample(frac=0.8, random_state=random.randrange(99)).reset_index(drop=True)
        rows.loc[rows.index[:5], "pm25_ugm3"] = random.random() * 1e6
        fresh = stage.made_up(day, random)
        fresh = fresh.merge(rows[["location_id", "datetime_utc"]], how="left", indicator=True)
        fresh = fresh[fresh["_merge"] == "left_only"].drop(columns="_merge").head(6)
        stage.rows[day] = together(rows, fresh).sort_values(["location_id", "datetime_utc"], ignore_index=True)
        stage.write(day)
    stage.execute(sa.delete(DIRTY_DAYS))
    after, _ = stage.build("now", *ON_GRID, *label)
    assert not after.equals(before)
    again = stage.folder / "again.parquet"
    assert stage.rebuild("grid", "--out", str(again)) == 0
    pd.testing.assert_frame_equal(pq.read_table(again).to_pandas(), before)
    capsys.readouterr()
    assert stage.rebuild("file") == 0
    assert by_file["result"]["digest"] in capsys.readouterr().out.replace("\n", "")
    assert stage.run("rebuild", by_grid["id"][:12]) == 0


def test_a_set_that_cannot_be_made_again_says_what_differs(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.build("grid", *ON_GRID)
    table = sa.table("air_quality_hourly", sa.column("pm25_ugm3"), schema="features")
    stage.execute(sa.update(table).values(pm25_ugm3=1.0))  # behind the IO manager's back
    assert stage.rebuild("grid") == 1
    told = capsys.readouterr().out
    assert "values of pm25_ugm3 differ" in told and "aqi differ" not in told
    for day in range(DAYS):
        stage.write(day)


def test_what_was_known_later_is_left_out(stage: Stage) -> None:
    later = datetime.now(UTC) - timedelta(hours=1)
    was = [stage.rows[0].copy(), *stage.rows[1:]]
    early, late = was[0].iloc[:30], was[0].iloc[30:]
    stage.rows[0] = together(early.assign(pm25_ugm3=7.0, known_at=FIRST), late.assign(pm25_ugm3=8.0, known_at=later))
    stage.rows[0]["known_at"] = stage.rows[0]["known_at"].astype("datetime64[us, UTC]")
    stage.write(0)
    stage.execute(sa.delete(DIRTY_DAYS))
    now, _ = stage.build("now", *ON_GRID)
    assert rows_of(now, FEATURES) == expected(stage.rows, now)
    assert (now["pm25_ugm3"] == 8.0).any()
    # Nothing of the table was there long ago, whatever its rows claim about when they were known.
    then, _ = stage.build("then", *ON_GRID, "--as-of", "2024-06-01")
    assert then.empty


def test_stale_days_are_refused_unless_allowed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    day = FIRST.date()
    stage.execute(dirty_days.mark([("timeseries.air_quality", day)], by="a test"))
    out = stage.folder / "stale.parquet"
    arguments = ("build", "stale", "--features", ASKED, *ON_GRID, "--out", str(out))
    assert stage.run(*arguments) == 1
    assert "timeseries.air_quality: 1 day(s), 2024-01-01" in capsys.readouterr().err
    assert not out.exists()
    assert stage.run(*arguments, "--allow-stale") == 0
    assert stage.recipe("stale")["stale_days"] == {"timeseries.air_quality": ["2024-01-01"]}
    assert stage.rebuild("stale") == 0


def parameters(stage: Stage, version: str, median: float, known_at: datetime) -> None:
    """Scaling parameters as another asset writes them."""
    columns = {"day": sa.DateTime(timezone=True), "view": sa.Text(), "feature": sa.Text(), "scaling_version": sa.Text()}
    numbers = {name: sa.Double() for name in ("minimum", "maximum", "median")}
    table = sa.Table(
        "feature_scaling",
        sa.MetaData(),
        *(sa.Column(name, kind) for name, kind in {**columns, **numbers}.items()),
        sa.Column("known_at", sa.DateTime(timezone=True)),
        schema="features",
    )
    with stage.timescale.connect() as connection:
        table.create(connection, checkfirst=True)
        for feature, low, high in (("pm25_ugm3", 0.0, 25.0), ("aqi", 5.0, 5.0), ("pm25_mean_24h_ugm3", 0.0, 1.0)):
            connection.execute(
                sa.insert(table).values(
                    day=FIRST, view=VIEW, feature=feature, scaling_version=version, minimum=low, maximum=high,
                    median=median, known_at=known_at,
                )
            )  # fmt: skip


def test_numbers_are_scaled_by_the_version_that_was_known_and_so_again(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(stage.folder / "none.parquet")
    assert stage.run("build", "none", "--features", ASKED, *ON_GRID, "--normalize", "--out", out) == 1
    assert "no table features.feature_scaling yet" in capsys.readouterr().err
    parameters(stage, "v1", 12.5, FIRST)
    plain, _ = stage.build("plain", *ON_GRID)
    rows, recipe = stage.build("scaled", *ON_GRID, "--normalize", "--missing", "impute")
    assert recipe["recipe"]["scaling"][VIEW]["version"] == "v1"
    want = plain["pm25_ugm3"].fillna(12.5).clip(0, 25) / 25
    np.testing.assert_allclose(rows["pm25_ugm3"], want, rtol=1e-15)
    assert (rows["aqi"] == 0).all() and not rows.isna().any().any()
    parameters(stage, "v2", 99.0, datetime.now(UTC) - timedelta(minutes=1))
    assert stage.rebuild("scaled") == 0
    assert stage.build("newer", *ON_GRID, "--missing", "impute")[1]["recipe"]["scaling"][VIEW]["version"] == "v2"


def test_missing_features_are_dropped_or_zero_or_kept(stage: Stage) -> None:
    kept, _ = stage.build("kept", *ON_GRID)
    dropped, recipe = stage.build("dropped", *ON_GRID, "--missing", "drop")
    zero, _ = stage.build("zero", *ON_GRID, "--missing", "zero")
    whole = kept[FEATURES].notna().all(axis=1)
    assert 0 < whole.sum() < len(kept)
    pd.testing.assert_frame_equal(dropped, kept[whole].reset_index(drop=True), check_dtype=False)
    assert recipe["result"]["left_out"] == int((~whole).sum())
    pd.testing.assert_frame_equal(zero, kept.fillna(0), check_dtype=False)
    assert stage.rebuild("dropped") == stage.rebuild("zero") == 0


def test_a_feature_set_is_read_from_its_table(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    out = stage.folder / "set.parquet"
    arguments = ("build", "set", "--feature-set", "compact", *ON_GRID, "--out", str(out))
    assert stage.run(*arguments) == 1
    assert "no table features.feature_sets yet" in capsys.readouterr().err
    table = sa.Table(
        "feature_sets",
        sa.MetaData(),
        sa.Column("day", sa.DateTime(timezone=True)),
        *(sa.Column(name, sa.Text) for name in ("feature_set", "view", "members")),
        sa.Column("known_at", sa.DateTime(timezone=True)),
        schema="features",
    )
    with stage.timescale.connect() as connection:
        table.create(connection)
        for day, members in ((0, ["aqi"]), (1, ["pm25_ugm3", f"{VIEW}:aqi"])):
            at = FIRST + timedelta(days=day)
            row = {"day": at, "known_at": at, "feature_set": "compact", "view": VIEW}
            connection.execute(sa.insert(table).values(**row, members=json.dumps(members)))
    assert stage.run(*arguments) == 0
    assert pq.read_schema(out).names == ["location_id", "event_timestamp", "pm25_ugm3", "aqi"]
    assert stage.recipe("set")["recipe"]["feature_set_version"].startswith("2024-01-02")
    assert stage.run("build", "x", "--feature-set", "nope", *ON_GRID, "--out", str(out)) == 1
    assert "there are ['compact']" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--features", "nowhere:x", *ON_GRID), "there is no view 'nowhere'"),
        (("--features", f"{VIEW}:pm25_ugm", *ON_GRID), "did you mean pm25_ugm3"),
        (("--features", ASKED), "for whom and when"),
        ((*ON_GRID,), "say which features"),
        (("--features", ASKED, *ON_GRID, "--as-of", "2999-01-01"), "nobody knows yet"),
        (("--features", ASKED, "--entities", "nowhere.csv"), "there is no file"),
        (("--features", ASKED, "--every", "1s", "--from", "2000-01-01", "--to", "2024-01-01"), "longer steps"),
    ],
)
def test_what_cannot_be_made_is_said_clearly(
    stage: Stage, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert stage.run("build", "x", *arguments, "--out", str(stage.folder / "x.parquet")) == 1
    assert told in capsys.readouterr().err
    assert not list(stage.folder.glob("*x.*"))


def test_recipes_and_entity_rows_that_were_changed_are_refused(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = stage.folder / "moments.csv"
    moments.write_text("location_id,event_timestamp\n1,2024-01-01T09:00Z\n")
    stage.build("file", "--entities", str(moments))
    recipe = stage.folder / "file.recipe.json"
    whole = recipe.read_text()
    recipe.write_text(whole.replace('"keep"', '"zero"'))
    assert stage.rebuild("file") == 1
    assert "not the one that was written" in capsys.readouterr().err
    recipe.write_text("{}")
    assert stage.rebuild("file") == 1
    assert "no recipe of a training set" in capsys.readouterr().err
    recipe.write_text(whole)
    kept = stage.folder / "file.entities.parquet"
    table = pq.read_table(kept)
    pq.write_table(table.slice(0, 0), kept)
    assert stage.rebuild("file") == 1
    assert "somebody changed them" in capsys.readouterr().err
    kept.unlink()
    assert stage.rebuild("file") == 1
    assert "are not there" in capsys.readouterr().err
    assert stage.run("rebuild", "ffff") == 1
    assert "no training set has an id" in capsys.readouterr().err
