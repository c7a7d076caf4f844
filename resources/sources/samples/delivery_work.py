"""A day of work in the simulated organisation: who spends how long on which task, and what users are seen to do.

Belongs here: `work` and `activity_rows`. Does not belong here: planning (`delivery_tasks.py`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from resources.sources.samples import delivery_texts as texts
from resources.sources.samples.delivery_people import People
from resources.sources.samples.delivery_tasks import DONE, IN_PROGRESS, TODO, Tasks
from resources.sources.samples.delivery_texts import HOUR_US, NEVER

LUNCH_AFTER_H = 4.0
KINDS = ("work", "commit", "comment", "review")
WORK, COMMIT, COMMENT, REVIEW = range(len(KINDS))
SHORTEST_H = 0.05


@dataclass(frozen=True)
class Worked:
    """Pieces of work of one day: user, task, hours, end in microseconds, and whether the task was done with it."""

    user: np.ndarray
    task: np.ndarray
    hours: np.ndarray
    end_us: np.ndarray
    is_done: np.ndarray


def work(rng: np.random.Generator, tasks: Tasks, people: People, day_us: int, *, is_weekend: bool) -> Worked:
    """Each user takes their open tasks in turn (begun ones first, then by priority and age) until the day is over."""
    rows, users = tasks.tasks, people.users
    hours = _hours(rng, people, is_weekend=is_weekend)
    first = rows["first"]
    can = np.isin(rows["status"], (TODO, IN_PROGRESS)) & (first >= 0) & ~tasks.waits()
    number = np.flatnonzero(can)
    number = number[hours[first[number]] > 0]
    order = np.lexsort((number, -rows["priority"][number], rows["status"][number] != IN_PROGRESS, first[number]))
    number = number[order]
    user, left = first[number], rows["actual_left_h"][number] / users["pace"][first[number]]
    before = _before(left, user)
    spent = np.clip(hours[user] - before, 0.0, left)
    touched = spent > SHORTEST_H
    number, user, left, before, spent = (one[touched] for one in (number, user, left, before, spent))
    begin, end = (
        _clock(users["begins_us"][user], before, day_us),
        _clock(users["begins_us"][user], before + spent, day_us),
    )
    _begin(tasks, number, begin)
    is_done = left - spent < 1e-9
    rows["worked_h"][number] += spent
    rows["actual_left_h"][number] = np.where(is_done, 0.0, (left - spent) * users["pace"][user])
    guess = np.maximum(rows["estimated_h"][number] - rows["worked_h"][number], 0.25)
    rows["remaining_h"][number] = np.where(is_done, 0.0, np.where(np.isnan(guess), left - spent, guess))
    rows["status"][number[is_done]] = DONE
    rows["completed_us"][number[is_done]] = end[is_done]
    # Work that goes on is entered some seconds after it.
    tasks.tasks.note(number, end + np.where(is_done, 0, rng.integers(1_000_000, 60_000_000, len(end))))
    return Worked(user, number, np.round(spent, 2), end, is_done)


def activity_rows(
    rng: np.random.Generator, worked: Worked, tasks: Tasks, people: People, first_number: int
) -> tuple[pd.DataFrame, int]:
    """What users did, in the order of time, and the number of the next activity."""
    count, rows = len(worked.user), tasks.tasks
    commits = np.flatnonzero(rng.random(count) < 0.5)
    comments = np.flatnonzero(rng.random(count) < 0.15)
    reviews = np.flatnonzero(worked.is_done & (rng.random(count) < 0.6))
    mates = people.by_team().draw(rng, rows["team"][worked.task[reviews]])
    reviewer = np.where(rows["second"][worked.task[reviews]] >= 0, rows["second"][worked.task[reviews]], mates)
    reviews, reviewer = reviews[reviewer >= 0], reviewer[reviewer >= 0]
    of = np.concatenate([np.arange(count), commits, comments, reviews])
    kind = np.repeat([WORK, COMMIT, COMMENT, REVIEW], [count, len(commits), len(comments), len(reviews)])
    review_h = np.round(rng.uniform(0.2, 1.0, len(reviews)), 2)
    silent = np.full(len(commits) + len(comments), np.nan)
    at = worked.end_us[of] + rng.integers(1, 900_000_000, len(of))
    return rows_of(
        user=np.concatenate([worked.user, worked.user[commits], worked.user[comments], reviewer]),
        task=worked.task[of],
        kind=kind,
        hours=np.concatenate([np.maximum(worked.hours, SHORTEST_H), silent, review_h]),
        at=at,
        first_number=first_number,
    ), first_number + len(of)


def rows_of(
    *, user: np.ndarray, task: np.ndarray, kind: np.ndarray, hours: np.ndarray, at: np.ndarray, first_number: int
) -> pd.DataFrame:
    """Activities as rows of the source's table, numbered in the order of time."""
    order = np.argsort(at, kind="stable")
    columns = {
        "activity_id": texts.ids("a", first_number + np.arange(len(at))),
        "user_id": texts.ids("u", user[order]),
        "task_id": texts.ids("t", task[order]),
        "kind": texts.chosen(KINDS, kind[order]),
        "hours": hours[order],
        "occurred_at": at[order],
    }
    return texts.frame("activities", columns)


def _hours(rng: np.random.Generator, people: People, *, is_weekend: bool) -> np.ndarray:
    """Hours each user works on the day, h."""
    users = people.users
    count = len(users)
    usual = users["capacity_h"] / 5 * rng.uniform(0.7, 1.05, count) * (rng.random(count) > 0.05)
    rare = rng.uniform(1.0, 4.0, count) * (rng.random(count) < 0.04)
    return np.where(users["is_active"], rare if is_weekend else usual, 0.0)


def _before(left: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Hours of the tasks that come before each one of the same user."""
    if not len(left):
        return left
    total = np.cumsum(left) - left
    is_first = np.append(True, user[1:] != user[:-1])
    starts = np.flatnonzero(is_first)
    before: np.ndarray = total - np.repeat(total[starts], np.diff(np.append(starts, len(user))))
    return before


def _clock(begins_us: np.ndarray, hours: np.ndarray, day_us: int) -> np.ndarray:
    """The instant at which so many hours are worked, an hour of lunch in between."""
    lunch = np.where(hours > LUNCH_AFTER_H, HOUR_US, 0)
    clock: np.ndarray = day_us + begins_us + (hours * HOUR_US).astype("int64") + lunch
    return clock


def _begin(tasks: Tasks, number: np.ndarray, at: np.ndarray) -> None:
    rows = tasks.tasks
    fresh = rows["status"][number] == TODO
    begun, when = number[fresh], at[fresh]
    rows["status"][begun] = IN_PROGRESS
    rows["started_us"][begun] = np.where(rows["started_us"][begun] == NEVER, when, rows["started_us"][begun])
    tasks.tasks.note(begun, when)
