"""What a launcher that was killed leaves behind: its process group, and runs nobody works on any more.

Belongs here: telling these from what is alive or somebody else's, and ending them. Does not belong here: starting
anything.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

MARKER = "TIDEMARK_LAUNCHED_FROM"
"""Variable in the environment of every process of a launcher; its value is the launcher's home."""
UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_group(group: int, home: Path, *, gently: bool = True) -> None:
    """End what is left of a launcher's process group, the harder the longer it takes; returns when nothing is left."""
    steps = [(signal.SIGINT, 15.0), (signal.SIGTERM, 10.0)] if gently else []
    for which, patience_s in [*steps, (signal.SIGKILL, 10.0)]:
        if not group_is_alive(group, home):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, which)
        wait_until(lambda: not group_is_alive(group, home), patience_s)


def group_is_alive(group: int, home: Path) -> bool:
    """Whether a live process of the group carries our marker: the number may be another program's by now."""
    if not Path("/proc/self").exists():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            return True
        return False
    marker = f"{MARKER}={home}".encode(errors="surrogateescape")
    return any(_is_member(entry, group, marker) for entry in Path("/proc").glob("[0-9]*"))


def _is_member(entry: Path, group: int, marker: bytes) -> bool:
    try:
        if os.getpgid(int(entry.name)) != group:
            return False
        fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        environment = _environment(entry)
    except OSError:
        return False
    state, thread_count = fields[0], int(fields[17])
    if state in "ZX" and thread_count <= 1:
        return False
    return not environment or marker in environment.split(b"\0")


def _environment(entry: Path) -> bytes:
    """Empty for a process that is going away: it has no memory any more, but may still hold its locks."""
    try:
        return (entry / "environ").read_bytes()
    except ProcessLookupError:  # how Linux says so since 6.16; before, the file was empty
        return b""


def wait_until(condition: Callable[[], bool], patience_s: float) -> bool:
    """Poll until the condition holds; False when it does not within the time."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def close_lost_runs(instance: dg.DagsterInstance, socket_folder: Path, *, is_alone: bool) -> list[str]:
    """Finish the runs whose worker went away with its launcher, and give back their pool slots; returns their ids.

    Dagster's default launcher has no health check: without this they stay STARTED for ever and hold their place. Marked
    failed, they are tried again by `run_retries`; one that was being cancelled is cancelled.

    A run is lost if its code server's socket lay in `socket_folder` (this launcher's own, on this host), or if nobody
    else uses the database (`is_alone`). Runs of other hosts on a shared server are never touched.
    """
    lost = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if is_alone or _socket(run).parent == socket_folder
    ]
    for run in lost:
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(
                run, message="It was being cancelled when its process ended with its launcher."
            )
        else:
            instance.report_run_failed(run, message="Its process ended with its launcher; closed by the next start.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in lost]


def _socket(run: dg.DagsterRun) -> Path:
    return Path(json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket", "/"))
