"""The 45 delivery features in rows per second and peak memory, for organisations of doubling size.

    python -m benchmarks.delivery_features [--users 100000] [--tasks-per-user 20] [--activities-per-user 28]

One day's snapshots of an organisation that is made up: teams of ten, projects of 200 tasks, up to three assignees,
skills and dependencies per task, a quarter of them open. Each size is computed whole, as for one day of a backfill;
the sizes are an eighth, a quarter, half and all of the users, so that linear growth shows as times that double.

Seconds are medians over the rounds, sizes taking turns, by the wall's clock and by the processor's; making the input is
not timed. Memory is how far the resident memory of a process that has the input rises while it computes, each table and
size in a process of its own.
"""

import argparse
import ctypes
import multiprocessing
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets_pkg.features.delivery_projects import project_features
from assets_pkg.features.delivery_tasks import task_features
from assets_pkg.features.delivery_teams import team_features
from assets_pkg.features.delivery_users import user_features
from schemas.base import conform
from schemas.source_datasets.delivery import (
    SKILLS,
    TASK_KINDS,
    TASK_STATUSES,
    DeliveryActivities,
    DeliveryProjects,
    DeliveryTasks,
    DeliveryTeams,
    DeliveryUsers,
)

AS_OF = datetime(2025, 3, 2, tzinfo=UTC)
PARTS = (8, 4, 2, 1)

Organisation = dict[str, pd.DataFrame]

TABLES: dict[str, tuple[int, Callable[[Organisation], pd.DataFrame]]] = {
    "user": (14, lambda of: user_features(of["users"], of["tasks"], of["activities"], as_of=AS_OF)),
    "task": (12, lambda of: task_features(of["tasks"], as_of=AS_OF)),
    "project": (11, lambda of: project_features(of["projects"], of["tasks"], as_of=AS_OF)),
    "team": (8, lambda of: team_features(of["teams"], of["users"], of["tasks"], of["activities"], as_of=AS_OF)),
}


def main() -> None:
    """Measures and prints a Markdown table."""
    chosen = _arguments()
    made = {
        chosen.users // part: organisation(chosen.users // part, chosen.tasks_per_user, chosen.activities_per_user)
        for part in PARTS
    }
    seconds: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(chosen.rounds):
        for users, of in made.items():
            for table, (_, compute) in TABLES.items():
                seconds.setdefault((table, users), []).append(_seconds(compute, of))
    print(f"{chosen.tasks_per_user} tasks and {chosen.activities_per_user} activities (28 days) per user.\n")
    print("| table | features | users | tasks | rows | s | cpu s | rows/s | tasks read/s | against half | peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for table, (features, _) in TABLES.items():
        before = None
        for users, of in made.items():
            wall, cpu = (median(times) for times in zip(*seconds[table, users], strict=True))
            rows, peak_mb = _peak(table, of)
            growth = f"{cpu / before:.2f} ×" if before else ""
            print(
                f"| features.{table} | {features} | {users:,} | {len(of['tasks']):,} | {rows:,} | {wall:.2f} | "
                f"{cpu:.2f} | {rows / wall:,.0f} | {len(of['tasks']) / wall:,.0f} | {growth} | {peak_mb:,.0f} |"
            )
            before = cpu
    largest = max(made)
    total = sum(median(wall for wall, _ in seconds[table, largest]) for table in TABLES)
    print(f"\nAll 45 features of one day, {largest:,} users: {total:.1f} s.")


def organisation(users: int, tasks_per_user: int, activities_per_user: int) -> Organisation:
    """The snapshots and the activities of 28 days, as the staging tables hold them, ordered by key."""
    chance = np.random.default_rng(7)
    teams, tasks = max(users // 10, 1), users * tasks_per_user
    projects = max(tasks // 200, 1)
    constant = {"snapshot_at": AS_OF, "updated_at": AS_OF, "known_at": AS_OF, "source_id": 1}
    return {
        "users": _frame(
            DeliveryUsers,
            users,
            user_id=_ids("user", np.arange(users)),
            team_id=_ids("team", np.arange(users) // 10),
            hired_at=_before(chance, users, 3000),
            prior_experience_years=np.round(chance.gamma(2, 3, users), 1),
            capacity_h_per_week=chance.choice([20.0, 32.0, 40.0], users),
            is_active=chance.random(users) > 0.05,
            **constant,
        ),
        "tasks": _tasks(chance, users, tasks, projects, constant),
        "projects": _frame(
            DeliveryProjects,
            projects,
            project_id=_ids("project", np.arange(projects)),
            budget_eur=np.round(chance.lognormal(11, 1, projects), 2),
            spent_eur=np.round(chance.lognormal(10.8, 1, projects), 2),
            due_at=_before(chance, projects, 500) + pd.Timedelta(days=250),
            **constant,
        ),
        "teams": _frame(DeliveryTeams, teams, team_id=_ids("team", np.arange(teams)), **constant),
        "activities": _activities(chance, users, tasks, users * activities_per_user),
    }


def _tasks(
    chance: np.random.Generator, users: int, tasks: int, projects: int, constant: dict[str, object]
) -> pd.DataFrame:
    created_at = _before(chance, tasks, 700)
    started_at = created_at + pd.to_timedelta(chance.integers(1, 300, tasks), unit="h")
    completed_at = started_at + pd.to_timedelta(chance.integers(1, 400, tasks), unit="h")
    status = np.array(TASK_STATUSES)[chance.choice(5, tasks, p=[0.1, 0.1, 0.05, 0.7, 0.05])]
    # A team works on its own projects: colleagues share tasks, and tasks wait for tasks nearby.
    owner = np.arange(tasks) * users // tasks
    number = np.arange(tasks)
    return _frame(
        DeliveryTasks,
        tasks,
        task_id=_ids("task", number),
        project_id=_ids("project", number * projects // tasks),
        kind=chance.choice(TASK_KINDS, tasks, p=[0.6, 0.25, 0.15]),
        status=status,
        priority=chance.integers(1, 5, tasks),
        estimated_h=np.round(chance.gamma(2, 6, tasks) * 4) / 4,
        remaining_h=np.where(status == "done", 0.0, np.round(chance.gamma(2, 3, tasks) * 4) / 4),
        skills=_joined(chance, [pd.Series(chance.choice(SKILLS, tasks)) for _ in range(3)]),
        assignees=_joined(
            chance,
            [_ids("user", np.minimum(owner // 10 * 10 + chance.integers(0, 10, tasks), users - 1)) for _ in range(3)],
        ),
        depends_on=_joined(
            chance, [_ids("task", np.maximum(number - chance.integers(1, 50, tasks), 0)) for _ in range(3)]
        ),
        attributed_to=_ids("user", owner),
        reopened=chance.choice(3, tasks, p=[0.85, 0.1, 0.05]),
        created_at=created_at,
        started_at=started_at.where(status != "todo"),
        completed_at=completed_at.where(status == "done"),
        deadline=(created_at + pd.Timedelta(days=30)).where(chance.random(tasks) > 0.2),
        **constant,
    )


def _activities(chance: np.random.Generator, users: int, tasks: int, count: int) -> pd.DataFrame:
    by = np.arange(count) % users
    return _frame(
        DeliveryActivities,
        count,
        activity_id=_ids("activity", np.arange(count)),
        user_id=_ids("user", by),
        task_id=_ids("task", by * tasks // users + chance.integers(0, max(tasks // users, 1), count)),
        kind="commit",
        occurred_at=_before(chance, count, 28),
        source_id=1,
        known_at=AS_OF,
    )


def _ids(prefix: str, numbers: np.ndarray) -> pd.Series:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 8, "0")
    return pd.Series(pc.binary_join_element_wise(prefix, digits, "_").to_pandas(types_mapper=_text))


def _text(_: pa.DataType) -> pd.StringDtype:
    return pd.StringDtype("pyarrow")


def _joined(chance: np.random.Generator, drawn: list[pd.Series]) -> pd.Series:
    """Lists of none to all of the names drawn."""
    length = chance.integers(0, len(drawn) + 1, len(drawn[0]))
    parts = [pa.array(names.where(length > n), type=pa.string(), from_pandas=True) for n, names in enumerate(drawn)]
    joined = pc.binary_join_element_wise(*parts, "|", null_handling="skip")
    return pd.Series(joined.to_pandas(types_mapper=_text))


def _before(chance: np.random.Generator, count: int, days: int) -> pd.Series:
    """Instants in the `days` before the day of the snapshot ends."""
    return pd.Series(pd.Timestamp(AS_OF) - pd.to_timedelta(chance.integers(0, days * 86_400, count), unit="s"))


def _frame(model: type, count: int, **columns: object) -> pd.DataFrame:
    return conform(pd.DataFrame(columns | {"line_no": np.arange(1, count + 1)}), model)


def _seconds(compute: Callable[[Organisation], pd.DataFrame], of: Organisation) -> tuple[float, float]:
    """Wall and processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    compute(of)
    return time.perf_counter() - wall, time.process_time() - cpu


def _peak(table: str, of: Organisation) -> tuple[int, float]:
    """Rows, and by how many MB the resident memory of a forked process rises while it computes them."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def measure() -> None:
        # Memory that earlier rounds have freed is resident still, and would be used again without a trace.
        pa.default_memory_pool().release_unused()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what is resident now
        before = _resident_mb("VmRSS")
        rows = len(TABLES[table][1](of))
        sender.send((rows, _resident_mb("VmHWM") - before))

    process = context.Process(target=measure)
    process.start()
    found = receiver.recv()
    process.join()
    return found


def _resident_mb(line: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(found.split()[1]) / 1024 for found in status if found.startswith(line))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--tasks-per-user", type=int, default=20)
    parser.add_argument("--activities-per-user", type=int, default=28)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
