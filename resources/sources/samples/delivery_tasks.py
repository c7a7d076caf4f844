"""The tasks of the simulated organisation, and what happens to them beside work: planned, blocked, reopened.

Belongs here: `Tasks`. Does not belong here: work on them (`delivery_work.py`), their rows (`delivery_task_rows.py`).
"""

import numpy as np

from resources.sources.samples.delivery_people import People
from resources.sources.samples.delivery_projects import Projects
from resources.sources.samples.delivery_rows import Groups, Things
from resources.sources.samples.delivery_texts import DAY_US, HOUR_US, NEVER
from schemas.source_datasets.delivery import SKILLS, TASK_KINDS, TASK_STATUSES

TODO, IN_PROGRESS, BLOCKED, DONE, CANCELLED = range(len(TASK_STATUSES))
FEATURE, BUG, CHORE = range(len(TASK_KINDS))
PER_USER_AND_DAY = 0.6
RECENT_DAYS = 30
REOPENED_FOR_DAYS = 14
MINUTE_US = HOUR_US // 60

WHOLE = (
    "team", "project", "kind", "status", "priority", "skills", "first", "second", "third", "waits_for",
    "waits_for_too", "attributed", "reopened", "created_us", "started_us", "completed_us", "deadline_us",
)  # fmt: skip
HOURS = ("estimated_h", "remaining_h", "actual_left_h", "worked_h")


class Tasks:
    """All tasks there ever were; who waits for whom never forms a circle: a task waits for older ones only."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.tasks = Things(
            **dict.fromkeys(WHOLE, np.arange(0)),
            **dict.fromkeys(HOURS, np.zeros(0)),
            is_odd=np.zeros(0, dtype=bool),
        )

    def is_open(self) -> np.ndarray:
        """Which tasks are neither done nor cancelled."""
        return self.tasks["status"] < DONE

    def waits(self) -> np.ndarray:
        """Which tasks wait for one that is still open."""
        is_open = np.append(self.is_open(), False)  # -1 is no task, and so not open
        waits: np.ndarray = is_open[self.tasks["waits_for"]] | is_open[self.tasks["waits_for_too"]]
        return waits

    def mornings(self, people: People, day_us: int) -> None:
        """Working days, before work begins: one thing after the other, so that stamps keep their order."""
        rng, tasks, users = self._rng, self.tasks, people.users
        luck, by_team = rng.random(len(tasks)), people.by_team()
        has_left = (tasks["first"] >= 0) & ~np.append(users["is_active"], True)[tasks["first"]]
        orphans = np.flatnonzero(self.is_open() & has_left)
        tasks["first"][orphans] = by_team.draw(rng, tasks["team"][orphans])
        self._note(orphans, day_us, 0)
        waits = self.waits()
        freed = np.flatnonzero((tasks["status"] == BLOCKED) & ~waits)
        tasks["status"][freed] = np.where(tasks["worked_h"][freed] > 0, IN_PROGRESS, TODO)
        self._note(freed, day_us, 10)
        stuck = np.flatnonzero((tasks["status"] == TODO) & waits & (luck < 0.3))
        tasks["status"][stuck] = BLOCKED
        self._note(stuck, day_us, 20)
        unplanned = np.flatnonzero(self.is_open() & (tasks["first"] < 0) & (luck < 0.5))
        tasks["first"][unplanned] = by_team.draw(rng, tasks["team"][unplanned])
        self._note(unplanned[tasks["first"][unplanned] >= 0], day_us, 30)
        is_fresh = tasks["completed_us"] > day_us - REOPENED_FOR_DAYS * DAY_US
        again = np.flatnonzero((tasks["status"] == DONE) & is_fresh & (luck < 0.003))
        tasks["status"][again], tasks["completed_us"][again] = IN_PROGRESS, NEVER
        tasks["reopened"][again] += 1
        tasks["actual_left_h"][again] = tasks["remaining_h"][again] = np.round(rng.uniform(1, 6, len(again)), 1)
        self._note(again, day_us, 40)
        dropped = np.flatnonzero(np.isin(tasks["status"], (TODO, BLOCKED)) & (luck > 0.998))
        tasks["status"][dropped] = CANCELLED
        self._note(dropped, day_us, 50)

    def plan(self, people: People, projects: Projects, day_us: int, *, plants_odd_title: bool) -> None:
        """Working days: new tasks; nobody works on them before the next day."""
        rng, users, by_team = self._rng, people.users, people.by_team()
        active = np.flatnonzero(users["is_active"])
        count = int(rng.poisson(len(active) * PER_USER_AND_DAY))
        if not len(active) or not count:
            return
        team = users["team"][rng.choice(active, count)]
        kind, culprit, project = self._kinds(team, projects, day_us)
        created = day_us + 9 * HOUR_US + np.sort(rng.integers(0, 8 * HOUR_US, count))
        estimated = np.clip(np.round(rng.lognormal(np.log(6.0), 0.7, count) * 2) / 2, 0.5, 80.0)
        first = np.where(rng.random(count) < 0.85, by_team.draw(rng, team), -1)
        second = np.where(rng.random(count) < 0.2, by_team.draw(rng, team), -1)
        third = np.where((second >= 0) & (rng.random(count) < 0.2), by_team.draw(rng, team), -1)
        second = np.where(second == first, -1, second)
        third = np.where((third == first) | (third == second), -1, third)
        due = created + ((rng.lognormal(np.log(6.0), 0.6, count) + estimated / 8) * DAY_US).astype("int64")
        numbers = self.tasks.append(
            team=team,
            project=project,
            kind=kind,
            status=np.full(count, TODO),
            priority=np.where(rng.random(count) < 0.05, -1, rng.choice([1, 2, 3, 4], count, p=[0.2, 0.45, 0.25, 0.1])),
            skills=self._skills(people, team),
            first=first,
            second=second,
            third=third,
            **self._waits_of(project, projects, day_us),
            attributed=culprit,
            reopened=np.zeros(count, dtype="int64"),
            created_us=created,
            started_us=np.full(count, NEVER),
            completed_us=np.full(count, NEVER),
            deadline_us=np.where(rng.random(count) < 0.3, NEVER, due // HOUR_US * HOUR_US),
            estimated_h=np.where(rng.random(count) < 0.04, np.nan, estimated),
            remaining_h=estimated,
            actual_left_h=estimated * rng.lognormal(0.1, 0.4, count),
            worked_h=np.zeros(count),
            is_odd=np.arange(count) == (0 if plants_odd_title else -1),
        )
        self.tasks.note(numbers, created)

    def _kinds(self, team: np.ndarray, projects: Projects, day_us: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Kind, whom a bug is attributed to, and project: a bug is one of work that was done lately."""
        rng, tasks = self._rng, self.tasks
        kind = rng.choice([FEATURE, BUG, CHORE], len(team), p=[0.62, 0.18, 0.2])
        project, culprit = projects.of_teams(team), np.full(len(team), -1)
        done = np.flatnonzero(tasks["completed_us"] > day_us - RECENT_DAYS * DAY_US)
        at_fault = Groups(done, tasks["team"][done], projects.teams).draw(rng, team)
        traced = (kind == BUG) & (at_fault >= 0)
        project[traced] = tasks["project"][at_fault[traced]]
        culprit[traced] = tasks["first"][at_fault[traced]]
        return np.where((kind == BUG) & ~traced, CHORE, kind), culprit, project

    def _skills(self, people: People, team: np.ndarray) -> np.ndarray:
        """One or two skills, as the team's profile has them, as a bit mask; 3 % need none that is named."""
        rng, shares = self._rng, np.cumsum(people.teams["skills"], axis=1)[team]
        picks = [(rng.random(len(team))[:, None] > shares).sum(axis=1).clip(max=len(SKILLS) - 1) for _ in range(2)]
        mask = (1 << picks[0]) | np.where(rng.random(len(team)) < 0.4, 1 << picks[1], 0)
        return np.where(rng.random(len(team)) < 0.03, -1, mask)

    def _waits_of(self, project: np.ndarray, projects: Projects, day_us: int) -> dict[str, np.ndarray]:
        """Older tasks of the same project that are still open, for a quarter of the new ones."""
        rng, tasks = self._rng, self.tasks
        recent = np.flatnonzero(self.is_open() & (tasks["created_us"] > day_us - RECENT_DAYS * DAY_US))
        groups = Groups(recent, tasks["project"][recent], len(projects.projects))
        first = np.where(rng.random(len(project)) < 0.25, groups.draw(rng, project), -1)
        second = np.where((first >= 0) & (rng.random(len(project)) < 0.3), groups.draw(rng, project), -1)
        return {"waits_for": first, "waits_for_too": np.where(second == first, -1, second)}

    def _note(self, numbers: np.ndarray, day_us: int, minute: int) -> None:
        """A version of each, stamped within ten minutes after `minute` past six."""
        start = day_us + 6 * HOUR_US + minute * MINUTE_US
        self.tasks.note(numbers, start + self._rng.integers(0, 10 * MINUTE_US, len(numbers)))
