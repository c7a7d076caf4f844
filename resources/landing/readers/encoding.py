"""Which encoding a text file is in.

Belongs here: finding the encoding. Does not belong here: decoding the file with it (`text_file.py`).
"""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import chardet

from resources.errors import ConfigurationError
from resources.landing.readers.formats import wide_encoding
from resources.landing.readers.hints import Hints
from resources.landing.readers.plausibility import oddness

CHUNK = 1 << 20
_SAMPLE = 300_000
_COMMON = [
    *(f"cp{number}" for number in range(1250, 1259)),
    *("cp932", "euc-jp", "gb18030", "big5", "cp949", "koi8-r", "koi8-u", "iso-8859-2", "iso-8859-5"),
    *("iso-8859-7", "iso-8859-9", "iso-8859-15", "mac-roman", "tis-620", "iso-2022-jp", "iso-2022-kr", "cp866"),
]
"""What files of the last twenty years are in; the rest is guessed only where there is much text to guess from."""

_RARE = re.compile(r"^(cp(?!125\d|932|949|874)\d+|mac|hp|ptcp|kz|iso-8859-(?!1$|2$|5$|7$|9$|15$)|johab|iso8859)", re.I)
_NAMES = {
    "ascii": "cp1252",
    "utf-8-sig": "utf-8",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "shift_jis_2004": "cp932",
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-8": "cp1255",
    "tis-620": "cp874",
    "iso-8859-11": "cp874",
}
_OF_SEVERAL_BYTES = {"cp932", "euc_jp", "gb18030", "big5", "cp949", "iso2022_jp", "iso2022_kr", "hz", "johab", "utf-7"}
_READINGS = ["cp1252", "cp1250", "cp1254", "cp1251", "cp850", "cp437", "mac-roman", "iso8859-2", "cp852", "iso8859-15"]
_READINGS += ["cp1253", "iso8859-7", "koi8-r", "iso8859-5", "cp866", "iso8859-9", "cp1257", "cp1255", "cp1256", "cp874"]
_NO_IDEA = 0.02
"""Below this confidence the statistics say nothing, and the most usual encoding stands first."""
_SYMBOLS = frozenset("°€£¥§©®±²³µ·ºª½¼¾–—‘’“”„…•«»×÷™¿¡´¨")
_NO_BREAK = "\xa0"
"""A usual sign after a digit, where it groups thousands or stands before a unit."""
_TYPOGRAPHY = (
    (re.compile("(?<=[A-Za-z])’(?=[A-Za-z])"), ""),
    (re.compile("(?<![A-Za-z])(?:“([^“”„]*)”|„([^“”„]*)[“”])(?![A-Za-z])"), r"\1\2"),
    (re.compile("(?<![A-Za-z])‘([^‘’]*)’(?![A-Za-z])"), r"\1"),
    (re.compile("(?<=[A-Za-z])’"), ""),
    (re.compile(f"(?<=[0-9])[“”‘’–—€{_NO_BREAK}]|[–—€](?=[0-9])"), ""),
    (re.compile("(?<![A-Za-z])[–—€](?![A-Za-z])"), ""),
)
"""What stands, one after the other, for signs that are no letters, and what is left of a text without them."""
_TYPOGRAPHIC = 0.9
"""Share of the lines that must have no other signs; a cell of several lines may cut a pair of quotes."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    name: str
    confidence: float
    """From 0 to 1; 1 where it is declared, marked or can be nothing else."""
    fallback: str | None = None
    """For lines that are not in `name`: some files are pasted together from two encodings."""


def find_encoding(path: Path, hints: Hints) -> Encoding:
    """The encoding of a file: what is declared, a byte order mark, zero bytes, UTF-8 if it fits, else the likeliest.

    Raises ConfigurationError if the declared encoding is unknown.
    """
    if hints.encoding is not None:
        try:
            b"x".decode(hints.encoding, errors="ignore")
            return Encoding(name=codecs.lookup(hints.encoding).name, confidence=1.0)
        except LookupError as error:
            raise ConfigurationError(f"unknown encoding {hints.encoding!r}; use a name Python knows") from error
    with path.open("rb") as file:
        head = file.read(CHUNK)
    if wide := wide_encoding(head):
        return Encoding(
            name=wide, confidence=1.0 if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) else 0.9
        )
    if head.startswith(codecs.BOM_UTF8):
        return Encoding(name="utf-8", confidence=1.0)
    if _has_escapes(head):
        found = chardet.detect(head[:_SAMPLE])
        if (found["encoding"] or "").lower() in ("iso-2022-jp", "iso-2022-kr", "hz-gb-2312", "hz", "iso-2022-jp-2004"):
            return Encoding(name=codecs.lookup(str(found["encoding"])).name, confidence=found["confidence"])
    valid, invalid = _foreign_lines(path)
    if not invalid:
        return Encoding(name="utf-8", confidence=1.0)
    return _of_lines(head, valid, invalid)


def _of_lines(head: bytes, valid: list[bytes], invalid: list[bytes]) -> Encoding:
    plausible = [line for line in invalid if _reads_as_western(line)]
    if valid and len(valid) >= len(invalid) and not _mostly_high(valid, invalid):
        share = len(invalid) / (len(valid) + len(invalid))
        mixed = len(plausible) >= 2 and len(plausible) == len(invalid) and share >= 0.1
        return Encoding(name="utf-8", confidence=round(1 - share, 3), fallback="cp1252" if mixed else None)
    if not valid and all(map(_is_junk, invalid)):
        return Encoding(name="utf-8", confidence=0.5)
    if sum(map(_is_typographic, invalid)) >= _TYPOGRAPHIC * len(invalid):
        # Statistics know letters only, and take quotes for those that other tables have in their place.
        found = Encoding(name="cp1252", confidence=0.7)
    else:
        found = _ask(_sample(head, [*invalid, *valid]), sum(map(_high, invalid)))
    if len(valid) >= 3 and found.name == "cp1252" and all(_multibyte_utf8(line) for line in valid):
        return Encoding(name="utf-8", confidence=0.5, fallback="cp1252")
    return found


def _ask(sample: bytes, high: int) -> Encoding:
    found = chardet.detect(sample)
    name, confidence = found["encoding"] or "", float(found["confidence"] or 0)
    if not name or (_RARE.match(name) and high < 400):
        second = chardet.detect(sample, include_encodings=_COMMON)
        if second["encoding"]:
            name, confidence = second["encoding"], float(second["confidence"] or 0)
    if not name or (high < 30 and confidence < 0.5):
        name, confidence = "cp1252", min(confidence, 0.5)
    name = _NAMES.get(name.lower(), name)
    try:
        name = codecs.lookup(name).name
    except LookupError:
        name, confidence = "cp1252", 0.1
    if confidence < 0.9 and name not in _OF_SEVERAL_BYTES:
        better = _best_reading(sample, name if confidence >= _NO_IDEA else "cp1252")
        name, confidence = better, confidence if better == name else min(confidence, 0.5)
    return Encoding(name=name, confidence=round(confidence, 3))


def _best_reading(sample: bytes, first: str) -> str:
    """The encoding in which the text reads best, `first` unless another is clearly better."""
    text = b" ".join(re.findall(rb"[^\r\n\t,;|\"]*[\x80-\xff][^\r\n\t,;|\"]*", sample))[:20_000]
    best, least = first, oddness(text.decode(first, errors="replace")) - 0.03
    if least > 0:
        for name in _READINGS:
            odd = oddness(text.decode(name, errors="replace"))
            if odd < least - 1e-9:
                best, least = name, odd
    return best


def _foreign_lines(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Lines with bytes beyond ASCII, up to a limit of size: those that are UTF-8 and those that are not."""
    valid: list[bytes] = []
    invalid: list[bytes] = []
    size = [0, 0]
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            chunk = rest + chunk
            cut = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"), chunk.rfind(b"\x15"), chunk.rfind(b"\x25")) + 1
            cut = cut or (0 if len(chunk) < 8 * CHUNK else len(chunk))
            rest = chunk[cut:]
            if cut:
                _sort(chunk[:cut], valid, invalid, size)
            if size[1] >= _SAMPLE:
                break
    _sort(rest, valid, invalid, size)
    return valid, invalid


def _sort(block: bytes, valid: list[bytes], invalid: list[bytes], size: list[int]) -> None:
    if block.isascii():
        return
    fits = _fits(block)
    if fits and size[0] >= _SAMPLE:
        return
    for line in re.split(rb"[\r\n]", block):
        if line.isascii():
            continue
        good = fits or _fits(line)
        if size[not good] < _SAMPLE:
            size[not good] += len(line)
            (valid if good else invalid).append(line)


def _fits(block: bytes) -> bool:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _sample(head: bytes, lines: Iterable[bytes]) -> bytes:
    """What to guess from: the head if that has foreign bytes enough, else the lines that have them."""
    return head[:_SAMPLE] if _high(head[:_SAMPLE]) >= 30 or len(head) < CHUNK else b"\n".join(lines)[:_SAMPLE]


def _has_escapes(head: bytes) -> bool:
    return head.isascii() and (b"\x1b$" in head or b"\x1b(" in head or b"~{" in head)


def _high(block: bytes) -> int:
    return len(block) - len(block.translate(None, bytes(range(128, 256))))


def _mostly_high(valid: list[bytes], invalid: list[bytes]) -> bool:
    """Two-byte encodings give lines that are valid UTF-8 by chance, but short ones only."""
    return sum(map(_high, invalid)) > 4 * sum(map(_high, valid))


def _multibyte_utf8(line: bytes) -> bool:
    return len(line.decode("utf-8", "ignore")) < len(line)


def _is_junk(line: bytes) -> bool:
    """Whether all bytes beyond ASCII stand alone, as no letters do, and are no usual signs either."""
    for run in re.finditer(rb"[\x80-\xff]+", line):
        near = line[max(0, run.start() - 1) : run.start()] + line[run.end() : run.end() + 1]
        signs = run[0].decode("cp1252", errors="replace")
        usual = _SYMBOLS | {_NO_BREAK} if near[:1].isdigit() else _SYMBOLS
        if len(signs) > 3 or any(chr(code).isalpha() for code in near) or set(signs) <= usual:
            return False
    return True


def _is_typographic(line: bytes) -> bool:
    """Whether all bytes beyond ASCII are, in cp1252, quotes around words, apostrophes, dashes, or signs at numbers."""
    text = line.decode("cp1252", errors="replace")
    for sign, left in _TYPOGRAPHY:
        text = sign.sub(left, text)
    return text.isascii()


def _reads_as_western(line: bytes) -> bool:
    """Whether the bytes beyond ASCII are letters of words or usual signs in cp1252."""
    text = line.decode("utf-8", "surrogateescape")
    found = 0
    for place, sign in enumerate(text):
        if not "\udc80" <= sign <= "\udcff":
            continue
        found += 1
        try:
            letter = bytes([ord(sign) - 0xDC00]).decode("cp1252")
        except UnicodeDecodeError:
            return False
        near = (text[place - 1] if place else "") + text[place + 1 : place + 2]
        usual = letter in _SYMBOLS or (letter == _NO_BREAK and text[max(0, place - 1) : place].isdigit())
        if not usual and not (letter.isalpha() and any(other.isalpha() for other in near)):
            return False
    return found > 0
