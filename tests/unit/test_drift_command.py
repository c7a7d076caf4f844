"""`tidemark drift errors`: the verdict, when it began, and words for what cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets_pkg import cli

RNG = np.random.default_rng(3)
GROWN = np.concatenate([RNG.normal(size=150), RNG.normal(loc=4, size=60)])


def written(folder: Path, **columns: object) -> str:
    file = folder / "errors.csv"
    pd.DataFrame(columns).to_csv(file, index=False)
    return str(file)


def test_errors_that_grow_are_told_with_the_time_it_began(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours = pd.date_range("2025-01-01", periods=len(GROWN), freq="h").astype(str)
    order = RNG.permutation(len(GROWN))
    file = written(tmp_path, error=GROWN[order], at=np.asarray(hours)[order])
    assert cli.main(["drift", "errors", file, "--time", "at"]) == 1
    told = capsys.readouterr().out
    assert "Drift since 2025-01-0" in told and "noticed at 2025-01-0" in told
    assert cli.main(["drift", "errors", file]) == 0, "in the order of the file they are as they were"


def test_predictions_and_what_came_are_errors_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    actual = np.linspace(0, 100, len(GROWN))
    file = written(tmp_path, y=actual, forecast=actual + GROWN)
    assert cli.main(["drift", "errors", file, "--predicted", "forecast", "--actual", "y"]) == 1
    assert "Drift since row 1" in capsys.readouterr().out
    assert cli.main(["drift", "errors", file, "--predicted", "y", "--actual", "y"]) == 0
    assert "Stable: 210 errors" in capsys.readouterr().out
    assert cli.main(["drift", "errors", written(tmp_path, error=GROWN[:20])]) == 0
    assert "Not enough data: 20 errors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("error\n1\n", ["--error", "e"], "has no column e; there are error"),
        ("error\n1\nn/b\n", [], "error holds 'n/b', which is no number"),
        ("error,at\n1,soon\n", ["--time", "at"], "at holds 'soon', which is no time"),
        ("y\n1\n", ["--predicted", "y"], "--predicted and --actual go together"),
        ("", [], "cannot be read as CSV"),
        (None, [], "cannot be read as CSV"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(
    tmp_path: Path, content: str | None, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "errors.csv"
    if content is not None:
        file.write_text(content)
    assert cli.main(["drift", "errors", str(file), *arguments]) == 1
    assert words in capsys.readouterr().err
