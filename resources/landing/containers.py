"""What a file is packed in: gzip, bzip2, xz or a zip of one file, told by its first bytes.

Belongs here: unpacking into the work folder, streamed and within limits. Does not belong here: what the unpacked bytes
mean (`readers/formats.py`). Names of members are never used as paths.
"""

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from resources.errors import RejectedFile
from resources.landing.limits import Limits

CHUNK = 1 << 20
DEPTH = 3
"""How many containers may lie inside each other, e.g. a gzip file in a zip."""


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A file that is packed in nothing (more)."""

    path: Path
    containers: tuple[str, ...] = ()
    """From the outside in: gzip, bzip2, xz, zip."""


def unpack(path: Path, work_dir: Path, limits: Limits) -> Unpacked:
    """The plain file inside `path`, or `path` itself; workbooks, which are zip files too, are left as they are.

    Raises RejectedFile: `truncated`, `corrupt`, `bomb`, `too_large`, `encrypted`, `several_members`, `not_a_table`.
    """
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise RejectedFile("too_large", f"{path.name} has {size} bytes; the limit is {limits.file_bytes}")
    current = path
    found: list[str] = []
    while kind := container_of(current):
        if len(found) == DEPTH:
            raise RejectedFile("bomb", f"{path.name}: more than {DEPTH} containers inside each other; unpack it first")
        target = work_dir / f"unpacked_{len(found)}"
        part = target.with_suffix(".part")
        try:
            _write(_STREAMS[kind](current), part, size, path.name, limits)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        part.rename(target)
        found.append(kind)
        current = target
    return Unpacked(path=current, containers=tuple(found))


def container_of(path: Path) -> str | None:
    """gzip, bzip2, xz or zip; None if the file is packed in nothing or is a workbook."""
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if start.startswith(b"BZh") and start[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None if is_workbook(path) else "zip"
    return None


def is_workbook(path: Path) -> bool:
    """Whether a zip file is an Excel or OpenDocument workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if any(name.startswith("xl/") for name in names):
                return True
            if "mimetype" not in names:
                return False
            with archive.open("mimetype") as file:
                return file.read(64).startswith(b"application/vnd.oasis.opendocument.spreadsheet")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError):
        return False


def _write(chunks: Iterator[bytes], target: Path, packed: int, name: str, limits: Limits) -> None:
    written = 0
    with target.open("wb") as out:
        for chunk in chunks:
            written += len(chunk)
            if written > limits.unpacked_bytes:
                raise RejectedFile("bomb", f"{name} unpacks to more than {limits.unpacked_bytes} bytes")
            if written > limits.ratio_from_bytes and written > limits.ratio * max(packed, 1):
                raise RejectedFile("bomb", f"{name} unpacks to more than {limits.ratio} times its {packed} bytes")
            out.write(chunk)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


_Machine = TypeVar("_Machine", bound=_Decompressor)


def _gzip(path: Path) -> Iterator[bytes]:
    def step(machine: "zlib._Decompress", data: bytes) -> tuple[bytes, bytes, bool]:
        out = machine.decompress(data, CHUNK)
        return out, machine.unconsumed_tail, not machine.unconsumed_tail and len(out) < CHUNK

    return _members(path, lambda: zlib.decompressobj(wbits=31), step, b"\x1f\x8b", "gzip")


def _bzip2(path: Path) -> Iterator[bytes]:
    def step(machine: bz2.BZ2Decompressor, data: bytes) -> tuple[bytes, bytes, bool]:
        return machine.decompress(data, CHUNK), b"", machine.needs_input

    return _members(path, bz2.BZ2Decompressor, step, b"BZh", "bzip2")


def _xz(path: Path) -> Iterator[bytes]:
    def step(machine: lzma.LZMADecompressor, data: bytes) -> tuple[bytes, bytes, bool]:
        return machine.decompress(data, CHUNK), b"", machine.needs_input

    def new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256_000_000)

    return _members(path, new, step, b"\xfd7zXZ", "xz")


def _members(
    path: Path,
    new: Callable[[], _Machine],
    step: Callable[[_Machine, bytes], tuple[bytes, bytes, bool]],
    magic: bytes,
    kind: str,
) -> Iterator[bytes]:
    """The streams one after the other; zero bytes may stand between and after them, nothing else."""
    with path.open("rb") as file:
        data = file.read(CHUNK)
        while data:
            machine = new()
            data = yield from _one_member(file, machine, step, data, path.name, kind)
            while not (data := data.lstrip(b"\0")) and (data := file.read(CHUNK)):
                pass
            if len(data) < len(magic):
                data += file.read(CHUNK)
            if data and not data.startswith(magic):
                raise RejectedFile("corrupt", f"{path.name}: something that is no {kind} follows the {kind} data")


def _one_member(
    file: BinaryIO,
    machine: _Machine,
    step: Callable[[_Machine, bytes], tuple[bytes, bytes, bool]],
    data: bytes,
    name: str,
    kind: str,
) -> Generator[bytes, None, bytes]:
    """Yields what is unpacked and returns what follows the member."""
    while True:
        try:
            out, data, hungry = step(machine, data)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise RejectedFile("corrupt", f"{name}: damaged {kind} data ({error}); get the file again") from error
        if out:
            yield out
        if machine.eof:
            return machine.unused_data
        if hungry and not data:
            data = file.read(CHUNK)
            if not data:
                raise RejectedFile("truncated", f"{name}: the {kind} data end too early; get the whole file again")


def _zip(path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            member = _only_member(archive, path.name)
            with archive.open(member) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise RejectedFile("corrupt", f"{path.name}: damaged zip file ({error}); get the file again") from error


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/") and ".DS_Store" not in member.filename
    ]
    if not members:
        raise RejectedFile("not_a_table", f"{name}: the zip file holds no file")
    if len(members) > 1:
        raise RejectedFile(
            "several_members", f"{name}: the zip file holds {len(members)} files; deliver them one by one"
        )
    if members[0].flag_bits & 1:
        raise RejectedFile("encrypted", f"{name}: the zip file is encrypted; deliver it without a password")
    return members[0]


_STREAMS: dict[str, Callable[[Path], Iterator[bytes]]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zip": _zip}
