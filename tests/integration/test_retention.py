"""Files past their time leave the archive, and nothing else does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from assets_pkg.retention import file_retention
from resources.landing.resource import LandingResource
from schemas.catalog_files import FILE_METADATA
from schemas.file_tables import tables_of
from tests.file_graph import FileGraph

HEADER = "transaction_id,customer_id,product_name,quantity,price,transaction_date,region,created_at\n"
ROW = "{},c1,tea,2,3.50,2026-03-01,North,\n"


@pytest.fixture
def graph(postgres_url: str, tmp_path: Path) -> Iterator[FileGraph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield FileGraph(postgres_url, tmp_path, instance)


def age(graph: FileGraph, file_id: int, days: int) -> None:
    """Makes a file that was just archived look as if it had been so many days ago."""
    arrived = datetime.now(UTC) - timedelta(days=days)
    with graph.connect() as connection:
        path = connection.execute(
            sa.select(FILE_METADATA.c.archive_path).where(FILE_METADATA.c.id == file_id)
        ).scalar_one()
        _, dataset, _, name = path.split("/")
        target = graph.root / "archive" / dataset / f"{arrived:%Y-%m-%d}" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (graph.root / path).rename(target)
        changed = {
            "archive_path": target.relative_to(graph.root).as_posix(),
            "arrived_at": arrived,
            "arrived_on": arrived.date(),
        }
        connection.execute(sa.update(FILE_METADATA).where(FILE_METADATA.c.id == file_id).values(**changed))


def retire(graph: FileGraph, days: int) -> None:
    landing = LandingResource(**(graph.landing.model_dump() | {"retention_days": days}))
    result = file_retention.execute_in_process(resources={"landing": landing, "files": graph.files})
    assert result.success


def test_what_is_past_its_time_goes_and_its_rows_stay(graph: FileGraph) -> None:
    for name in ("old", "young"):
        graph.drop("sales", f"{name}.csv", (HEADER + ROW.format(name)).encode())
        assert graph.load("sales").success
    old, young = graph.catalog_files()
    age(graph, old["id"], 40)
    retire(graph, 30)
    old, young = graph.catalog_files()
    assert (old["ingestion_status"], young["ingestion_status"]) == ("retained", "archived")
    assert not (graph.root / old["archive_path"]).exists()
    assert (graph.root / young["archive_path"]).exists()
    assert sorted(graph.table(tables_of("sales").staging)["transaction_id"]) == ["old", "young"]
    retire(graph, 30)


def test_without_a_retention_everything_is_kept(graph: FileGraph) -> None:
    graph.drop("sales", "old.csv", (HEADER + ROW.format("old")).encode())
    assert graph.load("sales").success
    age(graph, graph.catalog_files()[0]["id"], 4_000)
    retire(graph, 0)
    (old,) = graph.catalog_files()
    assert old["ingestion_status"] == "archived"
    assert (graph.root / old["archive_path"]).exists()
