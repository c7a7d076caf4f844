"""How much of messy files is read right: our reader, pandas and DuckDB over the same generated files.

    python -m benchmarks.messy_files [family ...]

Our reader was tuned on these files, so its scores say what it can do, not what it does with files nobody has seen.
Prints a Markdown table: of each family of files the share of headers, records and cells that are right, of planted bad
lines that are put aside, and how many lines are lost. With names of families, prints what is wrong with each file.
"""

import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from benchmarks.messy_files_combined import combined
from benchmarks.messy_files_corpus import Case, Rows, cases
from resources.errors import TidemarkError
from resources.landing.readers.load import load


@dataclass
class Answer:
    header: list[str] | None
    rows: Rows
    aside: str = ""
    """Everything that is neither row nor header, as text."""
    aside_lines: frozenset[int] = frozenset()


@dataclass
class Score:
    header: float
    records: float
    cells: float
    planted: float | None
    lost: int


def ours(path: Path) -> Answer:
    frame, header, rejects, skipped = load(path)
    lines = {line for reject in rejects for line in range(reject.line_no, reject.line_no + reject.line_count)}
    aside = "\n".join([*(reject.raw for reject in rejects), *(lines_.text for lines_ in skipped)])
    return Answer(header, _text(frame), aside, frozenset(lines))


def pandas_default(path: Path) -> Answer:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, compression=None)
    return Answer(list(map(str, frame.columns)), _text(frame))


def duckdb_auto(path: Path) -> Answer:
    relation = duckdb.sql("SELECT * FROM read_csv(?, all_varchar = true)", params=[str(path)])
    return Answer(relation.columns, _text(relation.df()))


READERS: dict[str, Callable[[Path], Answer]] = {"tidemark": ours, "pandas": pandas_default, "duckdb": duckdb_auto}


def _text(frame: pd.DataFrame) -> Rows:
    return [
        ["" if cell is None or cell != cell else str(cell) for cell in row] for row in frame.itertuples(index=False)
    ]


def score(case: Case, answer: Answer | None) -> Score:
    """All 0 for a file that is refused; its lines are not lost, for nobody believes that they were read."""
    if answer is None:
        return Score(0, 0, 0, 0 if case.planted else None, 0)
    right = sum((Counter(map(tuple, case.rows)) & Counter(map(tuple, answer.rows))).values())
    wanted = Counter(cell for row in case.rows for cell in row)
    found = Counter(cell for row in answer.rows for cell in row)
    everywhere = {cell for row in answer.rows for cell in row} | set(answer.header or [])
    return Score(
        header=float((answer.header or None) == (case.header or None)),
        records=_f1(right, len(case.rows), len(answer.rows)),
        cells=_f1(sum((wanted & found).values()), sum(wanted.values()), sum(found.values())),
        planted=len(case.planted & answer.aside_lines) / len(case.planted) if case.planted else None,
        lost=sum(
            token not in everywhere and token not in answer.aside and not any(token in cell for cell in everywhere)
            for token in case.tokens
        ),
    )


def _f1(right: int, wanted: int, found: int) -> float:
    return 2 * right / (wanted + found) if wanted + found else 1.0


def attempt(read: Callable[[Path], Answer], path: Path) -> tuple[Answer | None, str]:
    try:
        return read(path), ""
    except (TidemarkError, ValueError, duckdb.Error, pd.errors.ParserError, OSError) as error:
        return None, f"{type(error).__name__}: {error}"


def main(chosen: list[str]) -> None:
    scores: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate((*cases(), *combined())):
            if chosen and not any(name in case.family for name in chosen):
                continue
            path = Path(folder) / f"{number}{case.suffix}"
            path.write_bytes(case.data)
            for name, read in READERS.items():
                answer, error = attempt(read, path)
                result = score(case, answer)
                scores[case.family][name].append(result)
                if chosen and name == "tidemark" and (error or min(result.header, result.records) < 1 or result.lost):
                    print(f"- {case.family} / {case.name}: {result} {error}")
                    print(f"  {answer and answer.header} {answer and answer.rows[:2]}")
            path.unlink()
    print("| family | files | reader | header | records | cells | planted found | lines lost |")
    print("|---|---|---|---|---|---|---|---|")
    totals: dict[str, list[Score]] = defaultdict(list)
    for family, readers in scores.items():
        for name, found in readers.items():
            totals[name] += found
            print(_line(family, name, found))
    for name, found in totals.items():
        print(_line("**all**", name, found))


def _line(family: str, name: str, found: list[Score]) -> str:
    planted = [one.planted for one in found if one.planted is not None]
    means = [sum(getattr(one, key) for one in found) / len(found) for key in ("header", "records", "cells")]
    share = f"{sum(planted) / len(planted):.3f}" if planted else ""
    lost = sum(one.lost for one in found)
    return (
        f"| {family} | {len(found)} | {name} | "
        + " | ".join(f"{mean:.3f}" for mean in means)
        + f" | {share} | {lost} |"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1:])
