"""What a grid of values does not tell of an xlsx workbook: errors, formulas nobody has calculated, zero-padded numbers.

Belongs here: one pass over the XML of a sheet, done only where it may hold any of these. Does not belong here: values
(`workbook_sheets.py`). Run in a process of limited memory: the XML is of strangers.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ERROR, NO_VALUE = "error_cell", "formula_without_value"
PADDED = re.compile(r"(0{2,})(;.*)?")
"""A format of nothing but zeros: 42 is shown as 00042."""

FORMULA_OR_ERROR = re.compile(rb"""<(?:\w+:)?f[\s/>]|\st=["']e["']""")
CHUNK = 1 << 20
REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """What is special about a cell."""

    rule: str
    """`error_cell`, `formula_without_value`, or '' for a number to be padded."""
    text: str
    width: int = 0
    """Digits a padded number is shown with."""


Marks = dict[int, dict[int, Mark]]
"""By row and column, both from 0."""


class WorkbookMarks:
    """The marks of the sheets of one xlsx workbook; nothing in workbooks of other formats."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path) if zipfile.is_zipfile(path) else None
        names = set(self._archive.namelist()) if self._archive else set()
        self._members = self._sheet_members() if "xl/workbook.xml" in names else {}
        self._padded = self._padded_styles() if self._members and "xl/styles.xml" in names else {}

    def of_sheet(self, name: str) -> Marks:
        """The marks of the sheet of this name."""
        member = self._members.get(name)
        if self._archive is None or member is None or member not in self._archive.namelist():
            return {}
        if not self._padded and not _may_hold_marks(self._archive, member):
            return {}
        found: Marks = {}
        for row, column, mark in self._cells(self._archive, member):
            found.setdefault(row, {})[column] = mark
        return found

    def _sheet_members(self) -> dict[str, str]:
        targets = {
            element.get("Id"): element.get("Target", "") for element in self._elements("xl/_rels/workbook.xml.rels")
        }
        members = {}
        for element in self._elements("xl/workbook.xml"):
            if _local(element.tag) == "sheet":
                id_ = next((value for key, value in element.items() if key.endswith("}id")), None)
                members[element.get("name", "")] = posixpath.normpath(
                    posixpath.join("/xl", targets.get(id_, ""))
                ).lstrip("/")
        return members

    def _padded_styles(self) -> dict[str, int]:
        """Digits of the styles that pad, by the number a cell names its style with."""
        codes: dict[str, int] = {}
        styles: dict[str, int] = {}
        for element in self._elements("xl/styles.xml"):
            if _local(element.tag) == "numFmt" and (found := PADDED.fullmatch(element.get("formatCode", ""))):
                codes[element.get("numFmtId", "")] = len(found[1])
            elif _local(element.tag) == "cellXfs":
                for number, style in enumerate(element):
                    if (width := codes.get(style.get("numFmtId", ""))) is not None:
                        styles[str(number)] = width
        return styles

    def _elements(self, member: str) -> Iterator[ElementTree.Element]:
        if self._archive is None or member not in self._archive.namelist():
            return
        with self._archive.open(member) as source:
            for _, element in ElementTree.iterparse(source):
                yield element

    def _cells(self, archive: zipfile.ZipFile, member: str) -> Iterator[tuple[int, int, Mark]]:
        row = -1
        with archive.open(member) as source:
            for _, element in ElementTree.iterparse(source):
                if not element.tag.endswith("row") or _local(element.tag) != "row":
                    continue
                row, column = int(element.get("r", row + 2)) - 1, -1
                for cell in element:
                    reference = REFERENCE.fullmatch(cell.get("r", ""))
                    row, column = _place(reference[1], reference[2]) if reference else (row, column + 1)
                    if mark := self._mark(cell):
                        yield row, column, mark
                element.clear()

    def _mark(self, cell: ElementTree.Element) -> Mark | None:
        kind = cell.get("t", "n")
        if kind in ("s", "inlineStr", "b"):
            return None
        parts = {_local(part.tag): part.text or "" for part in cell}
        value = parts.get("v", "")
        if kind == "e":
            return Mark(ERROR, value)
        if not value and kind != "str" and "f" in parts:
            return Mark(NO_VALUE, f"={parts['f']}")
        width = self._padded.get(cell.get("s", "")) if kind == "n" and value else None
        return Mark("", "", width) if width else None


def _may_hold_marks(archive: zipfile.ZipFile, member: str) -> bool:
    before = b""
    with archive.open(member) as source:
        while chunk := source.read(CHUNK):
            if FORMULA_OR_ERROR.search(before + chunk):
                return True
            before = chunk[-16:]
    return False


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _place(letters: str, digits: str) -> tuple[int, int]:
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(digits) - 1, column - 1
