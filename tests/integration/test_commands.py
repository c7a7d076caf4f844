"""The commands that ask: doctor and status, and what backfill refuses before anything is started."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets_pkg import cli
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS

TODAY = datetime.now(UTC).date()
PLACE = DEMO_LOCATIONS[0]


@pytest.fixture
def tidemark(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a command on an archive and a database of the test's own; its exit code and all it printed."""
    days = {"first_day": TODAY - timedelta(days=9), "last_day": TODAY - timedelta(days=8)}
    generate(tmp_path / "archive", locations=[PLACE], seed=1, **days)
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", database_url)
    monkeypatch.setenv("TIDEMARK_OPENAQ_ARCHIVE_URL", str(tmp_path / "archive"))
    monkeypatch.setenv("TIDEMARK_OPENAQ_LOCATIONS", str(PLACE.id))

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = cli.main(arguments)
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return run


def test_doctor_finds_everything_well(tidemark: Callable[..., tuple[int, str]]) -> None:
    code, said = tidemark("doctor")
    assert code == 0, said
    assert "FAIL" not in said
    assert PLACE.name in said


def test_doctor_says_what_the_database_can_do(tidemark: Callable[..., tuple[int, str]]) -> None:
    assert "TimescaleDB" in tidemark("doctor")[1]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TIDEMARK_OPENAQ_LOCATIONS": "123456"}, "123456"),
        ({"TIDEMARK_OPENAQ_ARCHIVE_URL": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"TIDEMARK_OPENAQ_MODE": "api"}, "OPENAQ_API_KEY"),
        (
            {
                "TIDEMARK_OPENAQ_MODE": "api",
                "OPENAQ_API_KEY": "canary",
                "TIDEMARK_OPENAQ_API_URL": "http://127.0.0.1:9",
            },
            "127.0.0.1:9",
        ),
    ],
)
def test_doctor_names_what_is_wrong_with_the_source(
    tidemark: Callable[..., tuple[int, str]], environment: dict[str, str], words: str
) -> None:
    code, said = tidemark("doctor", **environment)
    assert code == 1
    assert "FAIL source" in said
    assert words in said
    assert "canary" not in said


def test_a_database_that_is_away_is_one_line_without_its_password(tidemark: Callable[..., tuple[int, str]]) -> None:
    url = "postgresql://someone:canary@127.0.0.1:9/tidemark"
    code, said = tidemark("status", TIDEMARK_DATABASE_URL=url)
    assert code == 1
    assert "tidemark: the database does not answer" in said
    assert "canary" not in said


def test_a_malformed_setting_is_named_and_not_repeated(tidemark: Callable[..., tuple[int, str]]) -> None:
    code, said = tidemark("status", TIDEMARK_OPENAQ_SCHEDULE="canary")
    assert code == 1
    assert "TIDEMARK_OPENAQ_SCHEDULE" in said
    assert "canary" not in said


def test_status_of_an_empty_database_says_that_nothing_is_there(
    tidemark: Callable[..., tuple[int, str]], database_url: str
) -> None:
    code, said = tidemark("status")
    assert code == 0
    assert "not running" in said
    assert "Owed by the source: nothing" in said


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-01-05", "2026-01-04", "before it begins"),
        ("2015-12-31", "2016-01-02", "before the first day"),
        (str(TODAY), str(TODAY + timedelta(days=1)), "in the future"),
    ],
)
def test_a_range_that_cannot_be_is_refused_before_anything_starts(
    tidemark: Callable[..., tuple[int, str]], first: str, last: str, words: str
) -> None:
    code, said = tidemark("backfill", "openaq", "--from", first, "--to", last)
    assert code == 1
    assert words in said


@pytest.mark.parametrize("arguments", [("--from", "yesterday", "--to", "2026-01-01"), ("--from", "2026-01-01")])
def test_arguments_that_are_no_days_are_refused(
    tidemark: Callable[..., tuple[int, str]], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        tidemark("backfill", "openaq", *arguments)
    assert stopped.value.code == cli.EXIT_WRONG_USE
