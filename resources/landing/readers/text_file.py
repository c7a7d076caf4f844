"""A text file in any encoding as UTF-8 with its lines counted, and its lines in batches.

Belongs here: decoding, and what a line is: it ends with \\r\\n, \\n or \\r, as Python's universal newlines. Does not
belong here: what the lines mean.

Text files hold no zero character here. What has to be told about a line is written into it behind one, `MARK`: bytes
that cannot be decoded and zero bytes as `\\xHH` each, a line that is too long by its beginning and its digest.
"""

import codecs
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from resources.landing.readers.encoding import Encoding

CHUNK = 1 << 20
MARK = "\0"
TOO_LONG = MARK + ">"
_PREVIEW = 500
_EBCDIC = {"cp037", "cp500", "cp273", "cp1026", "cp1140", "cp424", "cp875"}


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """UTF-8 text."""

    path: Path
    start: int
    """Bytes of the byte order mark at the start."""
    lines: int
    returns: int
    """Carriage returns."""
    newlines: int
    crlf: int
    """Carriage returns that a newline follows."""
    marked: bool
    """Whether there may be marks in it."""
    padding: int = 0
    """Zero bytes at the end, which are no text."""

    @property
    def line_ends(self) -> str:
        """`\\n`, `\\r\\n`, `\\r` or mixed; empty if there is none."""
        if self.returns == self.newlines == self.crlf:
            return "\\r\\n" if self.crlf else ""
        if not self.returns:
            return "\\n"
        return "mixed" if self.newlines else "\\r"


def if_utf8(path: Path) -> TextFile | None:
    """The file itself if it is UTF-8 with neither zero bytes nor signs of an encoding that looks like ASCII."""
    counter = _Counter()
    with path.open("rb") as file:
        start = len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0
        file.seek(start)
        return counter.text_file(path, start=start, marked=False) if _is_clean(file, counter) else None


def as_utf8(path: Path, encoding: Encoding, work_dir: Path) -> TextFile:
    """The file decoded into a file of UTF-8 in the work folder, with marks where bytes cannot be decoded."""
    counter = _Counter()
    target = work_dir / "text.utf8"
    with path.open("rb") as file, target.open("wb") as out:
        padding = _convert(file, out, encoding, counter)
    return counter.text_file(target, start=0, marked=True, padding=padding)


def batches(text: TextFile, longest: int, size: int = 4 * CHUNK) -> Iterator[list[str]]:
    """Lines with their ends, megabytes at a time; one longer than `longest` characters is cut and marked."""
    with text.path.open(encoding="utf-8", newline="") as file:
        if text.start:
            file.seek(text.start)
        rest = ""
        while chunk := file.read(size):
            rest += chunk
            lines = split_lines(rest)
            rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
            if lines:
                yield [line if len(line) <= longest else _short(line) for line in lines]
            if len(rest) > longest and not rest.endswith("\r"):
                line, rest = _skip_long(file, rest, size)
                yield [line]
        if rest:
            yield [rest if len(rest) <= longest else _short(rest)]


def split_lines(text: str) -> list[str]:
    """Lines with their ends."""
    if "\r" not in text:
        lines = text.split("\n")
        last = lines.pop()
        lines = [line + "\n" for line in lines]
        return [*lines, last] if last else lines
    return list(io.StringIO(text, newline=""))


def without_marks(line: str) -> str:
    return line.replace(TOO_LONG, "").replace(MARK, "")


def tail_lines(text: TextFile, size: int) -> list[str]:
    """The last lines, whole ones only, in the last `size` bytes."""
    total = text.path.stat().st_size
    with text.path.open("rb") as file:
        begin = max(text.start, total - size)
        file.seek(begin)
        block = file.read()
    lines = split_lines(block.decode("utf-8", errors="replace"))
    return lines if begin == text.start else lines[1:]


class _Counter:
    """Counts line ends in pieces of text."""

    def __init__(self) -> None:
        self.returns = self.newlines = self.crlf = 0
        self._last = b""

    def add(self, piece: bytes) -> None:
        if not piece:
            return
        self.newlines += piece.count(b"\n")
        if b"\r" in piece:
            self.returns += piece.count(b"\r")
            self.crlf += piece.count(b"\r\n")
        if self._last == b"\r" and piece.startswith(b"\n"):
            self.crlf += 1
        self._last = piece[-1:]

    def text_file(self, path: Path, *, start: int, marked: bool, padding: int = 0) -> TextFile:
        open_line = self._last not in (b"", b"\n", b"\r")
        return TextFile(
            path=path,
            start=start,
            lines=self.newlines + self.returns - self.crlf + open_line,
            returns=self.returns,
            newlines=self.newlines,
            crlf=self.crlf,
            marked=marked,
            padding=padding,
        )


def _is_clean(file: BinaryIO, counter: _Counter) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(CHUNK):
            if b"\0" in chunk or b"\x1b" in chunk or (b"~{" in chunk and chunk.isascii()):
                return False
            decoder.decode(chunk)
            counter.add(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _convert(file: BinaryIO, out: BinaryIO, encoding: Encoding, counter: _Counter) -> int:
    """Writes the text as UTF-8; returns how many zero characters stood at its end."""
    pending = 0
    first = True
    for text in _decoded(file, encoding):
        if first and text:
            text = text.removeprefix("\ufeff")
            first = False
        if encoding.name in _EBCDIC:
            text = text.replace("\x85", "\n")
        kept = text.rstrip("\0")
        if kept:
            text, zeros = pending * "\0" + kept, len(text) - len(kept)
            pending = zeros
            piece = _mark(text).encode("utf-8")
            out.write(piece)
            counter.add(piece)
        else:
            pending += len(text)
    return pending


def _mark(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", MARK + "\\x00")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = re.sub("[\ud800-\udfff]", _escape, text)
    return text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"{MARK}\\x{code - 0xDC00:02x}" if 0xDC00 <= code <= 0xDCFF else f"{MARK}\\u{code:04x}"


def _decoded(file: BinaryIO, encoding: Encoding) -> Iterator[str]:
    """Text in pieces; bytes that cannot be decoded are surrogates, as of `surrogateescape`."""
    if encoding.fallback is not None:
        yield from _decoded_by_line(file, encoding.name, encoding.fallback)
        return
    codecs.register_error("tidemark.bytes", _bytes_as_surrogates)
    decoder = codecs.getincrementaldecoder(encoding.name)(errors="tidemark.bytes")
    while chunk := file.read(CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _bytes_as_surrogates(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in lost), error.end


def _decoded_by_line(file: BinaryIO, name: str, fallback: str) -> Iterator[str]:
    for line in file:
        try:
            yield line.decode(name)
        except UnicodeDecodeError:
            yield line.decode(fallback, errors="surrogateescape")


def _short(line: str) -> str:
    data = line.rstrip("\r\n").encode("utf-8")
    return _note(line, len(data), hashlib.sha256(data).hexdigest()) + line[len(line.rstrip("\r\n")) :]


def _note(line: str, size: int, digest: str) -> str:
    return f"{TOO_LONG}{line[:_PREVIEW]} ... [{size} bytes, sha256 {digest}]"


def _skip_long(file: TextIO, line: str, size: int) -> tuple[str, str]:
    """Reads on to the end of a line that is too long; gives it marked, and what was read beyond it."""
    digest = hashlib.sha256()
    preview, length = line[:_PREVIEW], 0
    rest = line
    while rest:
        end = re.search(r"\r\n?|\n", rest)
        part = rest[: end.start()] if end else rest
        data = part.encode("utf-8")
        digest.update(data)
        length += len(data)
        if end and (end[0] != "\r" or end.end() < len(rest)):
            return _note(preview, length, digest.hexdigest()) + end[0], rest[end.end() :]
        rest = (end[0] if end else "") + file.read(size)
        if end and len(rest) == 1:
            return _note(preview, length, digest.hexdigest()) + rest, ""
    return _note(preview, length, digest.hexdigest()), ""
