"""The projects of the simulated organisation: each team has one or two, which end late or in time and burn a budget.

Belongs here: `Projects`. Does not belong here: their tasks.
"""

import numpy as np
import pandas as pd

from resources.sources.samples import delivery_texts as texts
from resources.sources.samples.delivery_rows import Things
from resources.sources.samples.delivery_texts import DAY_US, HOUR_US, NEVER

EUR_PER_H = 80.0
PER_TEAM = 2
PLANNED_H_PER_DAY = 18.0
"""Hours that a project's budget plans for a working day of its part of a team."""


class Projects:
    """The projects; `current` holds, per team, the numbers of those under way."""

    def __init__(self, rng: np.random.Generator, teams: int, first_us: int) -> None:
        self._rng, self.teams = rng, teams
        self._slots = np.repeat(np.arange(teams), PER_TEAM)
        self.projects = Things(**self._plans(self._slots, np.full(len(self._slots), first_us + HOUR_US // 2)))
        self._current = np.arange(len(self._slots))
        self.projects.note(self._current, self.projects["started_us"] + np.arange(len(self._slots)))

    def mornings(self, day_us: int) -> None:
        """Working days: projects whose time is over, late ones later, make room for the next."""
        over = np.flatnonzero(self.projects["ends_us"][self._current] < day_us)
        at = day_us + 5 * HOUR_US + self._rng.integers(0, HOUR_US, len(over))
        if len(over):
            self._current[over] = self.projects.append(**self._plans(self._slots[over], at))
            self.projects.note(self._current[over], at)

    def of_teams(self, teams: np.ndarray) -> np.ndarray:
        """For each team one of its projects under way."""
        return self._current[teams * PER_TEAM + self._rng.integers(0, PER_TEAM, len(teams))]

    def charge(self, numbers: np.ndarray, hours: np.ndarray, day_us: int) -> None:
        """Puts the hours worked on the projects' accounts."""
        cost = np.bincount(numbers, hours, minlength=len(self.projects)) * EUR_PER_H
        charged = np.flatnonzero(cost > 0)
        self.projects["spent_eur"][charged] += np.round(cost[charged], 2)
        self.projects.note(charged, day_us + 22 * HOUR_US + self._rng.integers(0, HOUR_US, len(charged)))

    def frames(self) -> dict[str, pd.DataFrame]:
        """The versions noted since the last call, as rows of the source's table."""
        found = self.projects.versions()
        columns = {
            "project_id": texts.ids("p", found["number"]),
            "name": texts.ids("Project ", found["number"] + 1),
            "team_id": texts.ids("team", found["team"]),
            "budget_eur": found["budget_eur"],
            "spent_eur": np.round(found["spent_eur"], 2),
            "started_at": found["started_us"],
            "due_at": found["due_us"],
            "updated_at": found["at"],
        }
        return {"projects": texts.frame("projects", columns)}

    def _plans(self, teams: np.ndarray, started_us: np.ndarray) -> dict[str, np.ndarray]:
        rng, count = self._rng, len(teams)
        days = rng.integers(20, 120, count)
        due = started_us + days * DAY_US
        budget = np.round(days * 5 / 7 * PLANNED_H_PER_DAY * EUR_PER_H * rng.lognormal(0.0, 0.25, count), -2)
        return {
            "team": teams,
            "budget_eur": np.where(rng.random(count) < 0.05, np.nan, budget),
            "spent_eur": np.zeros(count),
            "started_us": started_us,
            "due_us": np.where(rng.random(count) < 0.1, NEVER, due),
            "ends_us": started_us + (days * rng.uniform(0.85, 1.4, count) * DAY_US).astype("int64"),
        }
