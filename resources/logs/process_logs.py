"""The logs of a process of this product: warnings to the console, everything of ours to the shared file.

Belongs here: which logger goes where. Does not belong here: the runs of Dagster (`resources/configured_logs.py`).
"""

import contextlib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from resources.logs.json_lines import JsonLines, Words
from resources.logs.rotating_file import SharedRotatingFile

OURS = ("assets_pkg", "resources", "feature_repo")
SAID = "is_said"
"""`extra={SAID: True}`: the user has read it already, it goes to the file alone."""


def log_file(home: Path, *, level: str, most_bytes: int, files: int, secrets: Collection[str]) -> logging.Handler:
    """The handler of the shared file of this home."""
    handler = SharedRotatingFile(home / "logs" / "tidemark.jsonl", most_bytes=most_bytes, files=files)
    handler.setFormatter(JsonLines(secrets))
    handler.setLevel(level)
    return handler


@contextlib.contextmanager
def logging_to(file: logging.Handler, secrets: Collection[str]) -> Iterator[None]:
    """During the block: our loggers' records go to the file from its level on, all warnings to the console too."""
    console = logging.StreamHandler()
    console.setFormatter(Words(secrets))
    console.setLevel(logging.WARNING)
    console.addFilter(lambda record: not getattr(record, SAID, False))
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in OURS]
    levels = [logger.level for logger in ours]
    for handler in (file, console):
        root.addHandler(handler)
    for logger in ours:
        logger.setLevel(file.level)
    try:
        yield
    finally:
        for handler in (file, console):
            root.removeHandler(handler)
        for logger, level in zip(ours, levels, strict=True):
            logger.setLevel(level)
