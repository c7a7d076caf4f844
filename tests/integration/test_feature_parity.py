"""The proof that what is served is what the tables say: green while it is so, red where it is not, and then mended."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from assets_pkg.quality.parity_assets import OVERDUE_AFTER, feature_parity, online_equals_offline
from resources.catalog.io_manager import LedgerIOManager
from resources.feast import serving as pushing
from resources.timescale.slices import TableReader
from resources.timescale.table_slice import TableSlice
from schemas.catalog_features import FEATURE_PENDING
from schemas.tables import FEATURE_PARITY
from tests.graph import failure_of, retries_of
from tests.served import DAY, Serving, sales_rows

pytestmark = pytest.mark.timeout(600)
TEA, SALT = ("north", "tea"), ("south", "salt")
LATER = DAY + timedelta(days=1)


class Proof:
    """The parity asset with its check, on a served table."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.resources = {
            "timescale": serving.timescale,
            "feast": serving.feast,
            "io_manager": LedgerIOManager(timescale=serving.timescale),
        }

    def run(self, day: date | None = None) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [feature_parity, online_equals_offline],
            partition_key=(day or datetime.now(UTC).date()).isoformat(),
            resources=self.resources,
            raise_on_error=False,
        )

    def is_green(self) -> bool:
        result = self.run()
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        return bool(check.passed)

    def seen(self) -> dict[str, Any]:
        rows = TableReader(self.serving.timescale, TableSlice(FEATURE_PARITY)).read()
        return dict(rows[rows["view"] == "sales_features"].iloc[0])


@pytest.fixture
def proof(postgres_url: str, tmp_path: Path) -> Proof:
    return Proof(Serving(postgres_url, tmp_path))


def test_it_is_green_after_a_load_late_data_and_a_backfill(proof: Proof) -> None:
    serving = proof.serving
    serving.sell({(TEA, LATER): 2.0, (SALT, LATER): 3.0}, LATER)
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 1.0})
    serving.sell({(TEA, LATER): 2.5, (SALT, LATER): 3.0}, LATER)
    assert proof.is_green()
    assert {name: proof.seen()[name] for name in ("keys", "keys_sampled", "keys_equal", "keys_pending")} == {
        "keys": 2,
        "keys_sampled": 2,
        "keys_equal": 2,
        "keys_pending": 0,
    }
    before = proof.seen()
    assert proof.is_green()
    assert len(TableReader(serving.timescale, TableSlice(FEATURE_PARITY)).read()) == 1
    assert proof.seen()["known_at"] >= before["known_at"]


def test_what_differs_is_told_and_mended(proof: Proof) -> None:
    serving = proof.serving
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 1.0})
    with serving.timescale.connect() as connection:  # behind the pipeline's back
        connection.execute(sa.text("UPDATE features.sales_features SET revenue = 9 WHERE product_name = 'tea'"))
    assert not proof.is_green()
    assert proof.seen()["difference"].startswith("region north, product_name tea: revenue is 9.0 in the table and 1.0")
    assert len(serving.pending()) == 2
    serving.feast.push(serving.spec)
    assert proof.is_green()
    assert serving.served((TEA, SALT)) == {TEA: 9.0, SALT: 1.0}


def test_a_write_under_way_is_not_judged_and_one_that_waits_too_long_is(
    proof: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = proof.serving
    serving.sell({(TEA, DAY): 1.0, (SALT, DAY): 1.0})
    with monkeypatch.context() as patched:  # a run that dies between its commit and what is served
        patched.setattr(pushing, "push", lambda *_, **__: 1 / 0)
        assert not serving.write(sales_rows({(TEA, DAY): 5.0, (SALT, DAY): 1.0})).success
    assert len(serving.pending()) == 1
    assert proof.is_green()
    assert (proof.seen()["keys_sampled"], proof.seen()["keys_pending"]) == (1, 1)
    with serving.timescale.connect() as connection:
        connection.execute(sa.update(FEATURE_PENDING).values(marked_at=datetime.now(UTC) - 2 * OVERDUE_AFTER))
    assert not proof.is_green()
    serving.feast.push(serving.spec)
    assert proof.is_green()
    assert serving.served((TEA,)) == {TEA: 5.0}


def test_another_day_cannot_be_looked_at_now(proof: Proof) -> None:
    result = proof.run(datetime.now(UTC).date() - timedelta(days=1))
    assert not result.success
    assert "can only be looked at now" in failure_of(result)
    assert retries_of(result) == 0
