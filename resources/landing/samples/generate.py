"""The sample files in the order they come, and dropping them into a landing folder.

Belongs here: putting the datasets together, writing files. Does not belong here: what is in them.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from resources.landing.samples.meters import meter_files
from resources.landing.samples.sales import sales_files
from resources.landing.samples.truth import SampleFile
from resources.landing.samples.visitors import visitor_files

SECOND_NS = 1_000_000_000


def sample_files(last_day: date, seed: int = 7) -> list[SampleFile]:
    """All sample files, about the sixty UTC days up to `last_day`, in the order they are to be dropped.

    The same arguments give the same bytes. Some files come again under the same name: with other bytes, or whole after
    they were cut off.
    """
    return [*sales_files(last_day, seed), *meter_files(last_day, seed), *visitor_files(last_day, seed)]


def drop(files: Iterable[SampleFile], landing_root: Path) -> Iterator[Path]:
    """Write one file each time the next path is asked for, as `<landing_root>/<dataset>/<name>`.

    A file is there whole or not at all: it is written beside its place under a name that starts with a dot and ends in
    `.part`, then renamed. One that takes the place of another is at least a second younger than that one, so that the
    two differ even for who keeps whole seconds; its time of change may therefore lie a moment ahead. Whoever wants both
    to be taken in asks for the next path only after the former file was.

    Raises:
        OSError: the folder cannot be written.
    """
    for file in files:
        target = landing_root / file.dataset / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _place(file.content, target)
        yield target


def _place(content: bytes, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(content)
        if target.exists():
            youngest = max(part.stat().st_mtime_ns, target.stat().st_mtime_ns + SECOND_NS)
            os.utime(part, ns=(youngest, youngest))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
