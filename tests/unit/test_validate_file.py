"""`tidemark validate` of a file: the verdict of its reader and of its table's rules, without a database."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assets_pkg import cli
from schemas.declared_files import file_datasets
from schemas.file_dataset import Mode
from tests.written_sales import sale, written

Validated = Callable[..., dict[str, Any]]


@pytest.fixture
def validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Validated:
    """Runs the command on a file of sales; the report."""
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "sales"
    folder.mkdir()

    def run(content: bytes, *arguments: str, code: int = 0) -> dict[str, Any]:
        path, report = folder / "march.csv", tmp_path / "report.json"
        path.write_bytes(content)
        assert cli.main(("validate", str(path), "--json", str(report), *arguments)) == code
        return dict(json.loads(report.read_text()))

    return run


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    (day,) = report["days"]
    return {one["rule"]: one["outcome"] for one in day["rules"]}


def violations(report: dict[str, Any], rule: str) -> list[tuple[int, str]]:
    """Line and value."""
    return [(one["line_no"], one["value"]) for one in report["days"][0]["violations"] if one["rule"] == rule]


def test_a_sound_file_breaks_nothing(validated: Validated) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    report = validated(written(sale(n, transaction_date=str(yesterday)) for n in range(30)))
    assert report["rows"] == 30 and not report["is_blocking"] and not report["days"][0]["violations"]
    undecided = {rule for rule, outcome in outcomes(report).items() if outcome != "passed"}
    assert undecided == {"price_scale_is_as_before"}, "there are no files before it"


def test_what_its_reader_puts_aside_and_what_rules_find_are_both_told_with_their_lines(validated: Validated) -> None:
    rows = [
        sale(0),
        sale(0, price="7"),
        sale(1, region="Atlantis"),
        sale(2, price="dear"),
        sale(3, created_at="2026-02-01"),
    ]
    report = validated(written(rows))
    assert not report["is_blocking"], "rows that are put aside are not loaded, and block nothing"
    assert [line for line, _ in violations(report, "rows_are_readable")] == [4, 5]
    assert [line for line, _ in violations(report, "one_row_per_transaction")] == [3]
    ((line, value),) = violations(report, "recorded_after_sold")
    assert line == 6 and json.loads(value)["created_at"].startswith("2026-02-01")
    assert report["days"][0]["rules"][0]["failed"] == 2


def test_an_error_is_exit_code_1(validated: Validated, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = validated(written(sale(n, price="" if n else "3") for n in range(30)), code=1)
    assert lost["is_blocking"] and outcomes(lost)["not_all_prices_are_missing"] == "failed"
    assert len(violations(lost, "not_all_prices_are_missing")) == 29
    refused = validated(b"\x1f\x8b\x08 no gzip", code=1)
    assert list(outcomes(refused)) == ["file_is_readable"] and refused["days"][0]["rules"][0]["message"]
    monkeypatch.setitem(file_datasets(), "sales", replace(file_datasets()["sales"], mode=Mode.FREEZE))
    assert validated(written([sale(0), sale(1, price="dear")]), code=1)["is_blocking"]


def test_a_sample_is_drawn_the_same_again(validated: Validated) -> None:
    content = written(sale(n, created_at="2026-01-01") for n in range(100))
    first, second = (validated(content, "--sample", "10") for _ in range(2))
    assert first["rows"] == 10 and len(violations(first, "recorded_after_sold")) == 10
    assert violations(first, "recorded_after_sold") == violations(second, "recorded_after_sold")


def test_wrong_use_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(("validate", "staging.nothing")) == 1
    assert "neither a file nor a table" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert cli.main(("validate", str(tmp_path / "a.csv"))) == 1
    assert "--dataset" in capsys.readouterr().err
    assert cli.main(("validate", "timeseries.air_quality", "--from", "2025-01-02", "--to", "2025-01-01")) == 1
    assert "holds no day" in capsys.readouterr().err
