"""One entry for files of all formats and containers."""

import gzip
import json
from pathlib import Path

from resources.landing.limits import Limits
from resources.landing.readers.hints import Hints
from resources.landing.readers.load import load, read


def test_a_file_is_loaded_as_text_with_its_rejects_and_skipped_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('Title\n\na,b\n1,007\n2,"",x\n3,\n', encoding="utf-8")
    frame, header, rejects, skipped = load(path)
    assert header == ["a", "b"]
    assert frame.columns.tolist() == ["a", "b"]
    assert frame.to_numpy().tolist() == [["1", "007"], ["3", None]]
    assert [(reject.line_no, reject.line_count, reject.raw, reject.rule) for reject in rejects] == [
        (5, 1, '2,"",x', "ragged")
    ]
    assert [(entry.line_no, entry.kind) for entry in skipped] == [(1, "preamble"), (2, "blank"), (3, "header")]


def test_columns_without_names_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("1,2\n3,4\n", encoding="utf-8")
    frame, header, _, _ = load(path)
    assert header is None
    assert frame.columns.tolist() == [0, 1]


def test_columns_may_have_one_name(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("v,v\n3,4\n5,6\n", encoding="utf-8")
    assert load(path)[0].to_numpy().tolist() == [["3", "4"], ["5", "6"]]


def test_an_empty_file_has_no_rows_and_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    frame, header, rejects, skipped = load(str(path))
    assert (frame.shape, header, rejects, skipped) == ((0, 0), None, [], [])


def test_content_decides_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(gzip.compress(json.dumps([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]).encode()))
    with read(path, tmp_path, Limits(), Hints()) as table:
        assert table.format == "json"
        assert table.facts["containers"] == "gzip"
        assert table.count() == 2
