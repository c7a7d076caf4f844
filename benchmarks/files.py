"""A clean CSV file from its bytes to a staged, typed, profiled and catalogued table, against other ways, in one run.

    python -m benchmarks.files [--rows 1000000] [--rounds 3] [--pandas-share 0.1] [--memory-gb 5] [--known 100000]

The file has 12 columns: three whole numbers, three decimals, an instant and five texts. Our way is the whole of it: the
file is read twice (the landing zone copies it by its hash and compares), parsed, typed by inference, validated batch by
batch, profiled, loaded by COPY, with ledger, column metadata, schema version and lineage in the same transaction. The
bare COPY is `COPY ... FROM STDIN (FORMAT csv)` of the same file into a typed table without an index. pandas is
`read_csv` and `to_sql`, on a share of the rows if asked. dlt is measured where it can be imported (it is no
dependency): its `read_csv` and, as its fastest way, Arrow batches of DuckDB's reader. Ways take turns; figures are
medians.

`--memory-gb` loads a file of that size in a process of its own and tells the peak of its resident memory; `--known`
times a tick of the landing sensor with so many files known to the catalog and ten new ones.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import dagster as dg
import duckdb
import pandas as pd
import psycopg2
import sqlalchemy as sa

from assets_pkg.definitions import build_definitions
from assets_pkg.intake.intake import Intake
from benchmarks.io_manager import database
from resources.catalog.file_catalog import FileCatalog
from resources.catalog.file_loads import write
from resources.catalog.runs import Described
from resources.catalog.schema import CatalogedTimescale
from resources.landing.preparation import Declaration
from resources.landing.resource import LandingResource
from resources.timescale.resource import engine_of
from resources.wiring import Settings, build_resources
from schemas.catalog_files import FILE_METADATA, FILE_NAMES
from schemas.file_tables import undeclared_table
from schemas.window import Window

NAMES = "id,customer,pieces,price,tax,weight,sold_at,region,product,note,store,till"
TYPES = ("BIGINT",) * 3 + ("DOUBLE PRECISION",) * 3 + ("TIMESTAMPTZ",) + ("TEXT",) * 5
NEW_FILES = 10
CLEAN_ROWS = """
    SELECT i AS id, one_of(i, 1, 1000000) AS customer, 1 + one_of(i, 2, 99) AS pieces,
        one_of(i, 3, 10000) / 100 AS price, one_of(i, 4, 2000) / 100 AS tax, one_of(i, 5, 5000) / 1000 AS weight,
        strftime(TIMESTAMP '2025-01-01' + to_seconds(i * 20), '%Y-%m-%dT%H:%M:%SZ') AS sold_at,
        ['North', 'South', 'East', 'West'][1 + one_of(i, 6, 4)] AS region, concat('product ', i % 500) AS product,
        ['fine', 'ok', 'checked twice'][1 + one_of(i, 7, 3)] AS note, concat('s', i % 50) AS store,
        concat('till-', i % 9) AS till
    FROM range(?) AS numbers(i)"""


def write_csv(path: Path, rows: int) -> None:
    """A clean file of `rows` rows, the same ones each time."""
    with duckdb.connect() as connection:
        connection.execute("CREATE MACRO one_of(i, which, count) AS (hash(i, which) % count)::BIGINT")
        connection.sql(CLEAN_ROWS, params=[rows]).write_csv(str(path), header=True)


class Ways:
    """Every way to get the same file into a table; each method is one measurement and returns its rows."""

    def __init__(self, url: str, folder: Path, rows: int, pandas_share: float) -> None:
        self.timescale = CatalogedTimescale(database_url=url)
        self.folder = folder
        self.file = folder / "clean.csv"
        write_csv(self.file, rows)
        self.pandas_rows = int(rows * pandas_share)
        self.rows = rows
        self.round = 0

    def tidemark(self) -> int:
        """The landing folder to the table, everything that belongs to it included"""
        self.round += 1
        name = f"bench_{self.round}"
        landing = LandingResource(url=str(self.folder / "files"), work_dir=str(self.folder / "work"), quiet_s=0)
        target = self.folder / "files" / "landing" / name / "clean.csv"
        target.parent.mkdir(parents=True)
        target.hardlink_to(self.file)
        return load(self.timescale, landing, name)

    def bare_copy(self) -> int:
        """COPY of the same file"""
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES.split(","), TYPES, strict=True))
        with psycopg2.connect(self.timescale.url()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS bare; CREATE TABLE bare ({columns})")
            with self.file.open("rb") as file:
                cursor.copy_expert("COPY bare FROM STDIN (FORMAT csv, HEADER)", file)
        connection.close()
        return self.rows

    def pandas(self) -> int:
        """pandas: read_csv and to_sql"""
        frame = pd.read_csv(self.file, nrows=self.pandas_rows, parse_dates=["sold_at"])
        with engine_of(self.timescale.url()).begin() as connection:
            frame.to_sql("by_pandas", connection, if_exists="replace", index=False)
        return len(frame)

    def dlt_read_csv(self) -> int:
        """dlt: filesystem and read_csv"""
        from dlt.sources.filesystem import filesystem, read_csv

        return self._dlt(filesystem(bucket_url=str(self.folder), file_glob="clean.csv") | read_csv(), "by_dlt")

    def dlt_arrow(self) -> int:
        """dlt: Arrow batches of DuckDB's reader, loaded as CSV by COPY"""
        import dlt

        @dlt.resource(name="arrow")
        def batches() -> object:
            yield from duckdb.connect().sql("FROM read_csv(?)", params=[str(self.file)]).to_arrow_reader(100_000)

        return self._dlt(batches(), "by_dlt_arrow", loader_file_format="csv")

    def _dlt(self, source: object, table: str, **options: str) -> int:
        import dlt

        # dlt wants a host and a password though the server asks for neither; libpq takes the socket of the query.
        url = sa.make_url(self.timescale.url()).set(host="localhost", password="none")
        destination = dlt.destinations.postgres(url.render_as_string(hide_password=False))
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            pipeline = dlt.pipeline(
                table, destination=destination, dataset_name=table, pipelines_dir=home, dev_mode=True
            )
            pipeline.run(source, table_name=table, **options)
        return self.rows


def load(timescale: CatalogedTimescale, landing: LandingResource, name: str) -> int:
    """Takes in the files of an undeclared dataset; its rows."""
    files = FileCatalog(timescale=timescale)
    today = datetime.now(UTC).date()
    intake = Intake(
        landing=landing,
        files=files,
        declaration=Declaration(name=name, spec=None, dataset=None),
        described=Described(
            dataset=name,
            description="benchmark",
            source_kind="files",
            mode="evolve",
            tables=[undeclared_table(name, []).qualified],
            is_declared=False,
        ),
        window=Window.of_days(today, today),
        run_id="benchmark",
        log=dg.get_dagster_logger(),
        keys=[seen.key for seen in landing.zone().look(name).files],
    )
    return sum(write(timescale, one, run_id="benchmark").rows for one in intake.loads())


def main() -> None:
    """Measures and prints a Markdown table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, database() as timescale:
        if arguments.only_memory:
            _load_one(timescale.url(), Path(folder), Path(arguments.only_memory))
            return
        if arguments.rounds:
            _compare(Ways(timescale.url(), Path(folder), arguments.rows, arguments.pandas_share), arguments.rounds)
        if arguments.memory_gb:
            _tell_memory(Path(folder), arguments.memory_gb, timescale.url())
        if arguments.known:
            _tell_tick(CatalogedTimescale(database_url=timescale.url()), Path(folder), arguments.known)


def _compare(ways: Ways, rounds: int) -> None:
    names = ["tidemark", "bare_copy", "pandas", *(["dlt_read_csv", "dlt_arrow"] if _has_dlt() else [])]
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            rates[name].append(_rate(getattr(ways, name)))
    rate = {name: median(values) for name, values in rates.items()}
    size = ways.file.stat().st_size / 1e6
    print(f"{ways.rows:,} rows x 12 columns, {size:.0f} MB, {rounds} rounds; pandas wrote {ways.pandas_rows:,} rows\n")
    print("| way | rows/s | spread | ours is |\n|---|---:|---:|---:|")
    for name in names:
        spread = f"{min(rates[name]):,.0f} .. {max(rates[name]):,.0f}"
        print(
            f"| {getattr(Ways, name).__doc__} | {rate[name]:,.0f} | {spread} | {rate['tidemark'] / rate[name]:.2f} x |"
        )


def _tell_memory(folder: Path, gigabytes: float, url: str) -> None:
    file = folder / "large.csv"
    write_csv(file, int(gigabytes * 1e9 / 88))
    command = [sys.executable, "-m", "benchmarks.files", "--only-memory", str(file), "--folder", str(folder)]
    start = time.perf_counter()
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    seconds = time.perf_counter() - start
    print(f"\n{file.stat().st_size / 1e9:.2f} GB of CSV: {told} in {seconds:,.0f} s")
    file.unlink()


def _load_one(url: str, folder: Path, file: Path) -> None:
    """Prints the rows and the peak of resident memory of loading one file in this process, without the server's."""
    landing = LandingResource(url=str(folder / "files"), work_dir=str(folder / "work"), quiet_s=0, workers=1)
    target = folder / "files" / "landing" / "large" / "large.csv"
    target.parent.mkdir(parents=True)
    file.rename(target) if file.stat().st_dev == folder.stat().st_dev else target.write_bytes(file.read_bytes())
    rows = load(CatalogedTimescale(database_url=url), landing, "large")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    target.unlink(missing_ok=True)
    for kept in (folder / "files" / "archive").rglob("*.csv"):
        kept.rename(file)
    print(f"{rows:,} rows, peak {peak:,.0f} MB")


def _tell_tick(timescale: CatalogedTimescale, folder: Path, known: int) -> None:
    """Two ticks: with the known files in the catalog alone, and with all of them still lying in the folder."""
    landing = LandingResource(url=str(folder / "tick"), work_dir=str(folder / "work"), quiet_s=0)
    landing.zone()
    place = folder / "tick" / "landing" / "sales"
    place.mkdir(parents=True)
    for lying in (False, True):
        if lying:
            for number in range(known):
                (place / f"old_{number}.csv").touch()
        seen = landing.zone().look("sales").files if lying else []
        keys = [one.key for one in seen] or [f"key{number}" for number in range(known)]
        _note_known(timescale, keys, "lying" if lying else "gone")
        for number in range(NEW_FILES):
            (place / f"new_{number}_{lying}.csv").write_text("a,b\n1,2\n")
        seconds = [_tick(timescale, landing) for _ in range(3)]
        where = "still in the folder" if lying else "in the catalog"
        print(f"\nSensor tick, {known:,} files {where}, {NEW_FILES} new: {median(seconds):.2f} s")


def _note_known(timescale: CatalogedTimescale, keys: list[str], kind: str) -> None:
    listed = sa.func.unnest(sa.literal(keys, sa.ARRAY(sa.Text)))
    given = listed.table_valued("key", with_ordinality="number").render_derived(name="given")
    key, place = given.c.key, sa.cast(given.c.number, sa.Text)
    now = sa.func.now()
    with timescale.connect() as connection:
        names = ["dataset", "target_table", "file_name", "file_path", "sha256", "file_size_bytes", "arrived_on"]
        names += ["arrived_at", "version", "ingestion_status", "run_id"]
        values = sa.select(
            sa.literal("sales"),
            sa.literal("staging.sales_data"),
            sa.literal(f"{kind}_") + place,
            sa.literal("landing/sales/") + place,
            sa.literal(f"{kind}_") + place,
            sa.literal(1),
            sa.cast(now, sa.Date),
            now,
            sa.literal(1),
            sa.literal("archived"),
            sa.literal("benchmark"),
        ).select_from(given)
        connection.execute(sa.insert(FILE_METADATA).from_select(names, values))
        ids = sa.select(
            FILE_METADATA.c.id, FILE_METADATA.c.file_name, FILE_METADATA.c.file_path, key, sa.literal("b"), now
        )
        joined = ids.join(given, sa.literal(f"{kind}_") + place == FILE_METADATA.c.sha256)
        connection.execute(
            sa.insert(FILE_NAMES).from_select(
                ["file_id", "file_name", "file_path", "seen_key", "run_id", "seen_at"], joined
            )
        )


def _tick(timescale: CatalogedTimescale, landing: LandingResource) -> float:
    chosen = Settings(_env_file=None)  # type: ignore[call-arg]
    definitions = build_definitions(build_resources(chosen), chosen)
    resources = {"landing": landing, "files": FileCatalog(timescale=timescale)}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources=resources, definitions=definitions) as context,
    ):
        sensor = definitions.resolve_sensor_def("landing_files")
        start = time.perf_counter()
        sensor.evaluate_tick(context)
        return time.perf_counter() - start


def _rate(way: Callable[[], int]) -> float:
    start = time.perf_counter()
    rows = way()
    return rows / (time.perf_counter() - start)


def _has_dlt() -> bool:
    try:
        import dlt  # noqa: F401
    except ImportError:
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pandas-share", type=float, default=0.1)
    parser.add_argument("--memory-gb", type=float, default=0.0)
    parser.add_argument("--known", type=int, default=0)
    parser.add_argument("--folder", help="where the files lie meanwhile (default: the temporary folder)")
    parser.add_argument("--only-memory", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
