"""Runs of the file graph in processes of their own: to be killed, to be measured, to be at work at the same time.

Belongs here: starting such a process, what it runs, and how it ended. Does not belong here: faults, expectations.
"""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from datetime import date
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import dagster as dg

from tests.file_graph import FileGraph
from tests.graph import failure_of

CONTEXT = multiprocessing.get_context("forkserver")
"""Its server imports the product once and has no threads when it forks."""
CONTEXT.set_forkserver_preload([__name__])
PATIENCE_S = 120


def die() -> None:
    """The end no code hears of."""
    os.kill(os.getpid(), signal.SIGKILL)


def start(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process that does `work`, a function of a module."""
    process = CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def finish(process: BaseProcess) -> int | None:
    """How it ended: 0, or minus the signal that ended it."""
    process.join(PATIENCE_S)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"{process.name} did not end within {PATIENCE_S} s")
    return process.exitcode


def load(url: str, folder: Path, dataset: str) -> None:
    """A run of what lies in the dataset's folder."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = FileGraph(url, folder, instance).load(dataset)
        assert result.success, failure_of(result)


def load_and_measure(url: str, folder: Path, dataset: str, peak: Any) -> None:
    """As `load`; `peak` becomes the most memory the process had, MB."""
    load(url, folder, dataset)
    peak.value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def answer(url: str, folder: Path, day: date, tables: list[str], config: dict[str, Any]) -> None:
    """The run of a sensor's request."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = FileGraph(url, folder, instance).run(day, tables=tables, config=config)
        assert result.success, failure_of(result)
