"""The people of the simulated organisation: teams with a profile of skills, users who come, move and leave.

Belongs here: `People`. Does not belong here: what they work on.
"""

import numpy as np
import pandas as pd

from resources.sources.samples import delivery_texts as texts
from resources.sources.samples.delivery_rows import Groups, Things
from resources.sources.samples.delivery_texts import DAY_US, HOUR_US
from schemas.source_datasets.delivery import SKILLS

TEAM_SIZE = 8
CAPACITIES_H = np.array([20.0, 32.0, 40.0])
"""Hours a week, and how many of ten people work them."""
CAPACITY_SHARES = (0.1, 0.2, 0.7)
LEAVES_PER_DAY = 0.001
HIRES_PER_DAY = 0.0015
CHANGES_PER_DAY = 0.0007


class People:
    """Users and teams; all instants in microseconds from 1970, UTC."""

    def __init__(self, rng: np.random.Generator, users: int, first_us: int) -> None:
        self._rng, self._planned = rng, users
        count = max(1, round(users / TEAM_SIZE))
        self.teams = Things(skills=rng.dirichlet(np.full(len(SKILLS), 0.8), size=count))
        self.users = Things(
            **self._profiles(np.arange(users) % count, first_us - rng.integers(1, 1500, users) * DAY_US)
        )
        self.teams.note(np.arange(count), np.full(count, first_us + 600_000_000))
        self.users.note(np.arange(users), first_us + 1_200_000_000 + np.arange(users))

    def mornings(self, day_us: int) -> None:
        """Working days: some join, some change their team or their hours."""
        rng, users = self._rng, self.users
        hired = rng.poisson(self._planned * HIRES_PER_DAY)
        if hired:
            at = day_us + 5 * HOUR_US + np.sort(rng.integers(0, HOUR_US // 2, hired))
            numbers = users.append(**self._profiles(rng.integers(0, len(self.teams), hired), at))
            users.note(numbers, at)
        for name, values in (("team", len(self.teams)), ("capacity_h", None)):
            movers = np.flatnonzero(users["is_active"] & (rng.random(len(users)) < CHANGES_PER_DAY))
            users[name][movers] = (
                rng.integers(0, values, len(movers))
                if values
                else rng.choice(CAPACITIES_H, len(movers), p=CAPACITY_SHARES)
            )
            start = day_us + (5 * HOUR_US + HOUR_US // 2 if values else 6 * HOUR_US - HOUR_US // 4)
            users.note(movers, start + rng.integers(0, HOUR_US // 5, len(movers)))

    def evenings(self, day_us: int) -> None:
        """Working days: some leave."""
        users = self.users
        leavers = np.flatnonzero(users["is_active"] & (self._rng.random(len(users)) < LEAVES_PER_DAY))
        users["is_active"][leavers] = False
        users.note(leavers, day_us + 21 * HOUR_US + self._rng.integers(0, HOUR_US, len(leavers)))

    def by_team(self) -> Groups:
        """Those who work here, by team."""
        active = np.flatnonzero(self.users["is_active"])
        return Groups(active, self.users["team"][active], len(self.teams))

    def frames(self) -> dict[str, pd.DataFrame]:
        """The versions noted since the last call, as rows of the source's tables."""
        users, teams = self.users.versions(), self.teams.versions()
        return {
            "users": texts.frame(
                "users",
                {
                    "user_id": texts.ids("u", users["number"]),
                    "name": texts.names(users["name"]),
                    "team_id": texts.ids("team", users["team"]),
                    "hired_at": users["hired_us"],
                    "prior_experience_years": users["prior_years"],
                    "capacity_h_per_week": users["capacity_h"],
                    "is_active": users["is_active"],
                    "updated_at": users["at"],
                },
            ),
            "teams": texts.frame(
                "teams",
                {
                    "team_id": texts.ids("team", teams["number"]),
                    "name": texts.ids("Team ", teams["number"] + 1),
                    "updated_at": teams["at"],
                },
            ),
        }

    def _profiles(self, teams: np.ndarray, hired_us: np.ndarray) -> dict[str, np.ndarray]:
        rng, count = self._rng, len(teams)
        own = rng.dirichlet(np.full(len(SKILLS), 0.7), size=count)
        return {
            "team": teams.astype("int64"),
            "name": rng.integers(0, 132, count),
            "hired_us": hired_us.astype("int64"),
            "prior_years": np.where(rng.random(count) < 0.05, np.nan, np.round(rng.gamma(2.0, 2.5, count), 1)),
            "capacity_h": rng.choice(CAPACITIES_H, count, p=CAPACITY_SHARES),
            "is_active": np.full(count, True),
            "skills": (own + self.teams["skills"][teams]) / 2,
            "begins_us": (7 * HOUR_US + rng.random(count) * 3 * HOUR_US).astype("int64"),
            "pace": rng.lognormal(0.0, 0.2, count),
            "care": rng.beta(8, 2, count),
        }
