"""Structured logs: lines are whole whoever writes, files are as many as said, no secret is in them, and a run that
fails leaves what it was about."""

import json
import logging
import multiprocessing
from pathlib import Path

import dagster as dg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg import cli
from resources.configured_logs import secrets_of
from resources.logs.json_lines import MOST_CHARACTERS, JsonLines, Words
from resources.logs.redaction import LEAST, redacted
from resources.logs.rotating_file import SharedRotatingFile
from resources.wiring import PROJECT_ROOT, Settings

CANARY = "canary-2c8f17"


def lines_of(home: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (home / "logs/tidemark.jsonl").read_text().splitlines()]


@dg.asset(
    key=["staging", "openaq_measurements"],
    partitions_def=dg.DailyPartitionsDefinition("2025-03-01"),
    backfill_policy=None,
)
def failing(context: dg.AssetExecutionContext) -> None:
    context.log.info(f"asking https://reader:{CANARY}@host/data?api_key={CANARY}")
    logging.getLogger("assets_pkg.anything").warning("a module's own warning")
    raise ValueError(f"no answer from postgresql://reader:{CANARY}@host/db, header X-API-Key: {CANARY}")


@pytest.mark.parametrize(
    ("tags", "about"),
    [
        ({}, {"partition": "2025-03-02"}),
        (
            {
                "dagster/asset_partition_range_start": "2025-03-02",
                "dagster/asset_partition_range_end": "2025-03-05",
            },
            {"window": "2025-03-02 to 2025-03-05"},
        ),
    ],
)
def test_a_failing_run_leaves_run_asset_partition_and_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str], about: dict[str, str]
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    shipped = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())["python_logs"]
    with dg.instance_for_test(overrides={"python_logs": shipped}) as instance:
        done = dg.materialize(
            [failing],
            instance=instance,
            partition_key=None if tags else "2025-03-02",
            tags=tags,
            raise_on_error=False,
        )
    assert not done.success
    lines = lines_of(tmp_path)
    asked, warned = lines[0], lines[1]
    expected = {"run_id": done.run_id, "asset": "staging.openaq_measurements", "step": "staging__openaq_measurements"}
    assert expected | about == {name: asked[name] for name in expected | about}
    assert asked["level"] == "INFO" and asked["time"].endswith("Z")
    assert warned["message"] == "a module's own warning" and warned["run_id"] == done.run_id
    (failed,) = [line for line in lines if line["level"] == "ERROR" and line.get("asset")]
    assert expected | about == {name: failed[name] for name in expected | about}
    assert "ValueError: no answer" in failed["exception"] and "test_logs.py" in failed["exception"]
    assert "***@host/db" in failed["exception"]
    assert CANARY not in (tmp_path / "logs/tidemark.jsonl").read_text()


def test_a_command_that_fails_leaves_its_trace_and_tells_the_user_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", f"postgresql://reader:{CANARY}@127.0.0.1:1/none?connect_timeout=2")
    before = list(logging.getLogger().handlers)
    assert cli.main(["status"]) == 1
    (line,) = lines_of(tmp_path)
    assert line["level"] == "ERROR" and "DatabaseUnavailable" in line["exception"] and line["message"]
    told = capsys.readouterr()
    assert told.err.count("tidemark:") == 1 and "Traceback" not in told.err
    assert CANARY not in json.dumps(line) + told.out + told.err
    assert logging.getLogger().handlers == before


def test_a_log_that_cannot_be_written_is_told_once_and_hinders_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    handler = SharedRotatingFile(tmp_path / "logs/tidemark.jsonl", most_bytes=1000, files=2)
    for _ in range(3):
        handler.handle(record("lost"))
    assert capsys.readouterr().err.count("cannot be written") == 1


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("assets_pkg.x", logging.INFO, __file__, 1, message, None, None)


def _write(path: str, name: int) -> None:
    handler = SharedRotatingFile(Path(path), most_bytes=4_000, files=60)
    handler.setFormatter(JsonLines())
    for number in range(200):
        handler.handle(record(f"{name}/{number}"))


def test_processes_that_write_and_rotate_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "tidemark.jsonl"
    forks = [multiprocessing.get_context("fork").Process(target=_write, args=(str(path), name)) for name in range(4)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join()
    files = sorted(tmp_path.glob("tidemark.jsonl*"))
    assert len(files) > 10 and all(file.stat().st_size <= 4_000 for file in files)
    lines = [json.loads(line)["message"] for file in files for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{name}/{number}" for name in range(4) for number in range(200))


@pytest.mark.parametrize("files", [1, 3])
def test_rotation_keeps_the_count_and_the_newest(tmp_path: Path, files: int) -> None:
    handler = SharedRotatingFile(tmp_path / "tidemark.jsonl", most_bytes=100, files=files)
    for number in range(50):
        handler.handle(record(f"{number:03}" + "x" * 40))
    kept = sorted(file.name for file in tmp_path.glob("tidemark.jsonl*"))
    assert kept == ["tidemark.jsonl", *(f"tidemark.jsonl.{number}" for number in range(1, files))]
    text = "".join(file.read_text() for file in tmp_path.glob("tidemark.jsonl*"))
    assert [number for number in range(50) if f"{number:03}x" in text] == list(range(50 - 2 * files, 50))


def test_one_line_is_one_record_whatever_is_in_it() -> None:
    line = JsonLines().format(record("two\nlines " + "x" * 2 * MOST_CHARACTERS))
    assert "\n" not in line and "characters more" in json.loads(line)["message"]
    said = record("done")
    said.asset, said.partition = "staging.sales_data", "2025-03-01"
    assert Words().format(said).endswith("INFO assets_pkg.x: done [asset=staging.sales_data partition=2025-03-01]")


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{CANARY}@host/db",
        f"redis://:{CANARY}@host:6379/0",
        f"https://host/path?token={CANARY}&x=1",
        f"https://bucket/key?X-Amz-Signature={CANARY}",
        f"https://hooks.slack.com/services/T0/B0/{CANARY}",
        f"host=h password={CANARY} dbname=d",
        f"{{'X-API-Key': '{CANARY}'}}",
        f"Authorization: Bearer {CANARY}",
        f"postgresql://user:p@ss{CANARY}@host/db",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert CANARY not in redacted(text)


def test_a_text_without_secrets_stays() -> None:
    text = "staging.sales_data: 3 rows of https://host/a?day=1 at 10:30, key location_id = 5; see token file"
    assert redacted(text) == text


def test_configured_secrets_are_masked_wherever_they_stand() -> None:
    chosen = Settings(
        _env_file=None,
        TIDEMARK_DATABASE_URL="postgresql://user:p%40ss-w0rd@host/db",
        OPENAQ_API_KEY="key-4711-abc",
        TIDEMARK_ALERT_URLS="ops=slack://T0AAAA111/B0BBBB222/cCcCcC333 mail=mailtos://u:mail-pw-9@host?to=ops@host",
    )
    secrets = secrets_of(chosen)
    for secret in ("p@ss-w0rd", "p%40ss-w0rd", "key-4711-abc", "T0AAAA111", "cCcCcC333", "mail-pw-9"):
        assert secret not in redacted(f"it said {secret}, and went", secrets)


@given(st.text(min_size=LEAST), st.text(), st.text())
def test_no_configured_secret_is_left(secret: str, before: str, after: str) -> None:
    masked = redacted(f"{before}{secret}{after}", {secret})
    assert secret not in masked or secret in "***" * 3
