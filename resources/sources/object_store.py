"""Files in a bucket, in a folder or below any fsspec URL as a source.

Belongs here: which objects are read, and their rows as text. Does not belong here: reaching them
(`resources/landing/places/`), reading a format (`resources/landing/readers/`).

A table's name is a prefix (or one object). Objects are read only, in the order of their paths, each as one version: one
that changes meanwhile ends the read, which may be tried again. An object that is no table is put aside as one row with
the reader's rule, and the others are read; so is a line of an object that is no row.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from resources.errors import (
    ConfigurationError,
    CredentialsRejected,
    RejectedFile,
    SourceChanging,
    SourceVanished,
    UnexpectedAnswer,
)
from resources.landing.columns.inference import infer
from resources.landing.files_seen import Refused
from resources.landing.limits import Limits
from resources.landing.names import escaped
from resources.landing.places.opening import place_at
from resources.landing.places.place import Place, Stamp, told
from resources.landing.readers.load import read
from resources.landing.scratch import scratch_folder
from resources.landing.text_table import REJECTS, ROWS, TextTable
from resources.sources.conversion import TRUTHS
from resources.sources.source import Extract, FoundColumn, PutAside, Source, SourceBatch, frame_of

ENDPOINT = "endpoint_url"
HARMLESS = {"decimal", "date_order", "has_time", "zoned"}
"""What a convention may say of cells that are read as they stand: `.` and YMD are what is left when these are plain."""
MEMORY_BYTES = 250_000_000
"""Of the database one object is parsed in; beyond it spills to disk."""


class ObjectStoreSource(Source):
    """Objects below a URL: `s3://bucket/prefix`, with `?endpoint_url=http://host:9000` for a server that is not AWS; a
    folder; anything fsspec reaches. Keys of a bucket are where every tool looks for them (`AWS_ACCESS_KEY_ID`, …).

    An extract with `since` leaves out objects last modified up to then: they hold no row stamped later.
    """

    def __init__(
        self, url: str, *, setting: str = "the source's URL", work_dir: Path | None = None, limits: Limits | None = None
    ) -> None:
        bare, _, query = url.partition("?")
        options = dict(parse_qsl(query))
        endpoint = options.pop(ENDPOINT, None)
        parts = urlsplit(bare)
        has_user = "@" in f"{bare.removeprefix(f'{parts.scheme}://').partition('/')[0]}{endpoint or ''}"
        if options or parts.username or parts.password or has_user:
            raise ConfigurationError(
                f"{setting} holds neither user nor password nor any option but {ENDPOINT}: keys of a bucket come from "
                "the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
            )
        self.address = bare + (f" on {endpoint}" if endpoint else "")
        self._setting = setting
        self._work_dir = work_dir
        self._limits = limits or replace(Limits(), memory_bytes=MEMORY_BYTES)
        try:
            self._place: Place = place_at(bare, endpoint, work_dir)
        except ConfigurationError as error:
            raise ConfigurationError(f"{setting}: {error}") from None

    def check(self, extract: Extract) -> str:
        return f"{len(self._objects(extract))} objects below {extract.name}"

    def columns(self, extract: Extract) -> tuple[FoundColumn, ...]:
        for path, stamp in self._objects(extract):
            if isinstance(stamp, Refused):
                continue
            try:
                with self._opened(path, stamp) as table:
                    return _guessed(table)
            except RejectedFile:
                continue
        raise UnexpectedAnswer(f"{self.address} has no object below {extract.name!r} that is a table")

    def batches(self, extract: Extract) -> Iterator[SourceBatch]:
        for path, stamp in self._objects(extract):
            if isinstance(stamp, Refused):
                yield _nothing(
                    PutAside(rule="object: not taken", reason=stamp.reason, raw=json.dumps({"object": path}))
                )
                continue
            try:
                with self._opened(path, stamp) as table:
                    yield from _batches(table, extract, stamp)
            except RejectedFile as error:
                raw = json.dumps({"object": path, "size": stamp.size, "version": stamp.version}, ensure_ascii=False)
                rule = f"object: {error.rule}"
                yield _nothing(PutAside(rule=rule, reason=str(error), raw=raw, at=stamp.modified_at))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What is refused says where the keys come from."""
        try:
            yield
        except CredentialsRejected as error:
            raise CredentialsRejected(
                f"{self.address}, see {self._setting}: {error}; keys are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
            ) from None

    def _objects(self, extract: Extract) -> list[tuple[str, Stamp | Refused]]:
        """The objects to read by their paths, and what nobody opens."""
        with self._named():
            return self._listed(extract)

    def _listed(self, extract: Extract) -> list[tuple[str, Stamp | Refused]]:
        prefix = extract.name.strip("/")
        with suppress(RejectedFile):  # a folder
            if (alone := self._place.stamp(prefix)) is not None:
                return [(prefix, alone)]
        found: list[tuple[str, Stamp | Refused]] = []
        is_there = False
        try:
            for item in self._place.walk(prefix):
                is_there = True
                if isinstance(item, Refused):
                    found.append((item.path, item))
                elif extract.since is None or item[1].modified_at > extract.since:
                    found.append((f"{prefix}/{item[0]}", item[1]))
        except SourceVanished:
            is_there = False
        if not is_there:
            raise UnexpectedAnswer(
                f"{self.address} has nothing below {escaped(prefix)!r}: check {self._setting} and the declaration"
            )
        return sorted(found, key=lambda item: item[0])

    @contextmanager
    def _opened(self, path: str, stamp: Stamp) -> Iterator[TextTable]:
        """The table in one version of an object; the copy of it is gone afterwards."""
        with ExitStack() as opened:
            above = self._work_dir or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-")))
            with told(str(above)):
                above.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = opened.enter_context(scratch_folder(above))
            copy = folder / Path(path).name
            try:
                with self._named(), copy.open("wb") as file:
                    for data in self._place.chunks(path, stamp):
                        file.write(data)
            except SourceVanished as error:
                raise SourceChanging(f"{escaped(path)} was there when it was listed and is gone: {error}") from None
            inside = folder / "read"
            inside.mkdir()
            yield opened.enter_context(read(copy, inside, self._limits))


def _batches(table: TextTable, extract: Extract, stamp: Stamp) -> Iterator[SourceBatch]:
    found = _found(table)
    names = [column.name for column in found]
    wanted = [n for n, name in enumerate(names) if extract.columns is None or name in extract.columns]
    chosen = [names[n] for n in wanted]
    if twice := sorted({name for name in chosen if chosen.count(name) > 1}):
        raise RejectedFile(
            "duplicate_columns", f"it has more than one column {', '.join(map(repr, twice))}: rename one"
        )
    rejects = table.connection.cursor().table(REJECTS).order("line_no").select("raw", "rule", "reason").fetchall()
    yield SourceBatch(
        rows=frame_of(chosen, []),
        columns=found,
        put_aside=tuple(
            PutAside(rule=rule, reason=reason, raw=raw, at=stamp.modified_at) for raw, rule, reason in rejects
        ),
        bytes_read=stamp.size,
    )
    if not wanted:
        return
    cells = table.connection.cursor().table(ROWS).order("line_no").select(*(table.columns[n] for n in wanted))
    for piece in cells.to_arrow_reader(extract.batch_size):
        rows = zip(*(column.to_pylist() for column in piece.columns), strict=True)
        yield SourceBatch(rows=frame_of(chosen, rows), columns=found)


def _found(table: TextTable) -> tuple[FoundColumn, ...]:
    names = table.header if table.header is not None else range(table.column_count)
    return tuple(FoundColumn(str(name).strip(), "text") for name in names)


def _guessed(table: TextTable) -> tuple[FoundColumn, ...]:
    """The columns with what their cells look like, where that is how it is written anywhere."""
    if not table.column_count:
        return ()
    guesses = {guess.column: guess for guess in infer(table)}
    kinds = []
    for column in table.columns:
        guess = guesses[column]
        written = {name: value for name, value in guess.convention.to_dict().items() if name not in HARMLESS}
        words = {*written.pop("true_words", ()), *written.pop("false_words", ())}
        usual = guess.convention.decimal != "," and guess.convention.date_order in (None, "YMD")
        is_plain = usual and not written and words <= TRUTHS.keys()
        kinds.append(guess.kind.value if is_plain else "text")
    return tuple(FoundColumn(one.name, kind) for one, kind in zip(_found(table), kinds, strict=True))


def _nothing(put_aside: PutAside) -> SourceBatch:
    return SourceBatch(rows=frame_of([], []), columns=(), put_aside=(put_aside,))
