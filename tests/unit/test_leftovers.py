"""Which runs count as lost, and what becomes of them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from assets_pkg.leftovers import MARKER, close_lost_runs, end_group, group_is_alive

OURS = Path("/tmp/ours")
STATUS = dg.DagsterRunStatus


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job
def idle() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_on(instance: dg.DagsterInstance, socket: str | None, status: dg.DagsterRunStatus = STATUS.STARTED) -> str:
    tags = {} if socket is None else {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": socket})}
    return instance.create_run_for_job(idle, status=status, tags=tags).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("status", [STATUS.STARTING, STATUS.STARTED])
def test_a_run_of_our_dead_stack_is_failed(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    run_id = run_on(instance, f"{OURS}/tmpabc", status)
    assert close_lost_runs(instance, OURS, is_alone=False) == [run_id]
    assert status_of(instance, run_id) is STATUS.FAILURE


def test_a_run_that_was_being_cancelled_is_cancelled(instance: dg.DagsterInstance) -> None:
    run_id = run_on(instance, f"{OURS}/tmpabc", STATUS.CANCELING)
    close_lost_runs(instance, OURS, is_alone=False)
    assert status_of(instance, run_id) is STATUS.CANCELED


@pytest.mark.parametrize("status", [STATUS.NOT_STARTED, STATUS.SUCCESS, STATUS.FAILURE])
def test_a_run_that_does_not_run_stays_as_it_is(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    run_id = run_on(instance, f"{OURS}/tmpabc", status)
    assert close_lost_runs(instance, OURS, is_alone=True) == []
    assert status_of(instance, run_id) is status


@pytest.mark.parametrize("socket", ["/tmp/tmpabc", "/tmp/ours2/tmpabc", None])
def test_a_run_of_somebody_else_is_touched_only_where_nobody_else_can_be(
    instance: dg.DagsterInstance, socket: str | None
) -> None:
    run_id = run_on(instance, socket)
    assert close_lost_runs(instance, OURS, is_alone=False) == []
    assert close_lost_runs(instance, OURS, is_alone=True) == [run_id]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_only_a_group_that_carries_our_marker_is_ended(tmp_path: Path) -> None:
    ours, theirs = (
        subprocess.Popen(["sleep", "60"], start_new_session=True, env={MARKER: str(home)})
        for home in (tmp_path, tmp_path / "other")
    )
    try:
        assert group_is_alive(ours.pid, tmp_path)
        assert not group_is_alive(theirs.pid, tmp_path)
        end_group(theirs.pid, tmp_path)
        end_group(ours.pid, tmp_path)
        assert not group_is_alive(ours.pid, tmp_path)
        assert theirs.poll() is None
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()
