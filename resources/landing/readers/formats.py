"""Which format the bytes of a file are in: csv, json, excel or parquet, told by content and never by name.

Belongs here: telling formats apart, and what a name claims. Does not belong here: reading them, and unpacking
(`containers.py`).
"""

import codecs
import json
from pathlib import Path, PurePosixPath

from resources.errors import RejectedFile
from resources.landing.containers import is_workbook

HEAD = 1 << 18
_OTHER_FORMATS = {
    b"%PDF-": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x7fELF": "a program",
    b"SQLite format 3\0": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!\x1a": "a RAR archive",
    b"{\\rtf": "an RTF document",
}
_CLAIMS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".ssv"), "csv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".geojson"), "json"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), "excel"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}
_PACKED = (".gz", ".zip")
_BINARY_SHARE = 0.05
_CONTROLS = bytes(sorted(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1a\x1b\x1c\x1d\x1e\x1f\0")))


def format_of(path: Path) -> str:
    """csv, json, excel or parquet; anything that reads as text is csv unless it is JSON.

    Raises RejectedFile `not_a_table` for content that is no text and none of the known formats.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    whole = path.stat().st_size <= HEAD
    if head.startswith(b"PAR1") or head.startswith(b"PARE"):
        return "parquet"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return "excel"
    if head.startswith(b"PK\x03\x04") and is_workbook(path):
        return "excel"
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic) and (magic not in (b"ORC", b"GIF8") or b"\0" in head):
            raise RejectedFile("not_a_table", f"{path.name} is {name}, not a table")
    text = _as_text(head)
    if text.lstrip().lower().startswith(("<!doctype html", "<html", "<?xml")):
        raise RejectedFile("not_a_table", f"{path.name} is a web page or an XML document, not a table")
    if _is_json(text, whole):
        return "json"
    if _is_binary(head):
        raise RejectedFile("not_a_table", f"{path.name} holds binary data in no format that is known here")
    return "csv"


def require_agreement(name: str, found: str) -> None:
    """A name that claims a format is right about it; names such as `x.txt` claim none.

    Raises RejectedFile `wrong_extension`: somebody dropped another file than they meant, or it was converted wrongly.
    """
    plain = PurePosixPath(name.lower())
    suffix = PurePosixPath(plain.stem).suffix if plain.suffix in _PACKED else plain.suffix
    claimed = _CLAIMS.get(suffix, found)
    if claimed != found:
        raise RejectedFile(
            "wrong_extension",
            f"{name} is called {suffix}, which is {claimed}, but holds {found}: rename it, or drop the file you meant",
        )


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 by byte order mark or, without one, by where the zero bytes stand."""
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    sample = head[: min(len(head), 4096) // 4 * 4]
    if len(sample) < 4:
        return None
    zeros = [sample[place::4].count(0) / (len(sample) // 4) for place in range(4)]
    if min(zeros[1:]) > 0.7 and zeros[0] < 0.3:
        return "utf-32-le"
    if min(zeros[:3]) > 0.7 and zeros[3] < 0.3:
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if odd > 0.3 and even < 0.05:
        return "utf-16-le"
    if even > 0.3 and odd < 0.05:
        return "utf-16-be"
    return None


def _as_text(head: bytes) -> str:
    wide = wide_encoding(head)
    return head.removeprefix(codecs.BOM_UTF8).decode(wide or "utf-8", errors="replace").removeprefix("\ufeff")


def _is_json(text: str, whole: bool) -> bool:
    text = text.lstrip()
    if not text.startswith(("{", "[")):
        return False
    lines = [line.strip() for line in text.split("\n")[: 200 if whole else 100] if line.strip()]
    if not whole and len(lines) > 1:
        lines.pop()
    valid = sum(_is_document(line) for line in lines)
    if valid and valid * 2 >= len(lines):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except RecursionError:
        return True
    except json.JSONDecodeError as error:
        # cut off where the head ends (or the file itself does): everything up to there was JSON
        is_cut = error.pos >= len(text.rstrip()) - 1000 or error.msg.startswith("Unterminated string")
        return is_cut and text[1:].lstrip()[:1] in ('"', "{", "[", "]", "}")
    rest = text[end:].lstrip()
    return not rest or rest.startswith(("{", "["))


def _is_document(line: str) -> bool:
    try:
        return line.startswith(("{", "[")) and isinstance(json.loads(line), dict | list)
    except (json.JSONDecodeError, RecursionError):
        return False


def _is_binary(head: bytes) -> bool:
    sample = head.rstrip(b"\0")[:65536]
    if not sample or wide_encoding(sample):
        return False
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if _looks_ebcdic(sample):
        return False
    return controls > _BINARY_SHARE * len(sample) or sample.count(0) > 0.3 * len(sample)


def _looks_ebcdic(sample: bytes) -> bool:
    """Letters and digits of EBCDIC lie where ASCII has none, and its line ends are 0x25 or 0x15."""
    high = sum(sample.count(code) for code in (*range(0x81, 0xAA), *range(0xC1, 0xEA), *range(0xF0, 0xFA), 0x40))
    return high > 0.6 * len(sample)
