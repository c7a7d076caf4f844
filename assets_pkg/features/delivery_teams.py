"""Features of teams: `features.team` from one day's snapshots of teams, users and tasks and the activities before its
end.

Belongs here: the definitions, one function per feature or family. Does not belong here: how tasks stood
(`delivery_state.py`), what a user's workload and experience are (`delivery_users.py`), the parameters.

Members are active users whose `team_id` is the team's; `team_size` is their number. Sources: Shannon, A Mathematical
Theory of Communication (1948), normalised by ln 4 (Pielou's evenness); Gini's coefficient as the mean difference of
sorted values (Dixon et al., Ecology 68, 1987); density as in Wasserman and Faust, Social Network Analysis (1994), 4.2.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from assets_pkg.features.delivery_links import Links, link
from assets_pkg.features.delivery_state import Assignments, TasksAsOf, happened, snapshot, stamped
from assets_pkg.features.delivery_sums import (
    Codes,
    Floats,
    counts,
    distinct,
    for_all,
    instants,
    newest,
    quotient,
    totals,
)
from assets_pkg.features.delivery_users import current_workload_h, years_experience
from schemas.base import conform
from schemas.delivery import DELIVERY, DeliveryFeatures
from schemas.delivery_features import Team
from schemas.source_datasets.delivery import SKILLS


def team_features(
    teams: pd.DataFrame,
    users: pd.DataFrame,
    tasks: pd.DataFrame,
    activities: pd.DataFrame,
    *,
    as_of: datetime,
    settings: DeliveryFeatures = DELIVERY,
) -> pd.DataFrame:
    """One row per team of the snapshot, in its order: exactly `schemas.delivery_features.Team`.

    Args:
        teams, users, tasks: shapes of `DeliveryTeams`, `DeliveryUsers` and `DeliveryTasks` (columns that no feature
            needs may be absent); rows of snapshots other than that of `as_of` are ignored.
        activities: shape of `DeliveryActivities`, in any order; those outside `settings.velocity_window` are ignored.
        as_of: aware; the END of a UTC day. What is stamped later has not happened.

    `known_at` is the newest of the team's row, of all users, of all tasks that are there by then, and of the members'
    activities: who left a team, and a task taken from it, have made its numbers what they are.
    """
    teams, users = snapshot(teams, as_of), snapshot(users, as_of)
    state = TasksAsOf.of(snapshot(tasks, as_of), as_of)
    assigned = Assignments.of(state, users)
    activities = happened(activities, as_of, settings.velocity_window)
    of = _Members.of(teams, users)
    acts = _Acts.of(activities, users, state)
    together = _together(assigned, acts, settings.velocity_window)
    columns = {
        "team_id": teams["team_id"].array,
        "event_timestamp": stamped(as_of, of.size),
        "team_size": of.count(),
        "skill_diversity": skill_diversity(of, assigned, settings),
        **experience(of, years_experience(users, as_of)),
        "workload_balance": workload_balance(of, current_workload_h(assigned, len(users))),
        "collaboration_score": collaboration_score(of, together, len(state)),
        "velocity_tasks_per_week": velocity(of, assigned, settings),
        "known_at": newest(
            instants(teams["known_at"]),
            for_all(of.size, instants(users["known_at"]), state.known_at[state.is_there]),
            of.of_members(acts.user, acts.known_at),
        ),
    }
    return conform(pd.DataFrame(columns, copy=False), Team)


@dataclass(frozen=True)
class _Members:
    """Which users are in which team."""

    size: int
    """Number of teams."""
    team: Codes
    """Per user, the team they are an active member of; -1: none."""

    @classmethod
    def of(cls, teams: pd.DataFrame, users: pd.DataFrame) -> "_Members":
        found = link(users["team_id"], teams["team_id"])
        team = np.full(len(users), -1)
        team[found.row] = found.thing
        return cls(len(teams), np.where(users["is_active"].to_numpy(dtype=bool), team, -1))

    def count(self) -> Codes:
        """Per team, the number of its members."""
        return counts(self.team[self.team >= 0], self.size)

    def of_members(self, users: Codes, values: np.ndarray) -> tuple[Codes, np.ndarray]:
        """The team of each of the users and the value that goes with it, for those who are members."""
        team = self.team[users]
        return team[team >= 0], values[team >= 0]


@dataclass(frozen=True)
class _Acts:
    """The activities of known users, in the order they came."""

    user: Codes
    task: Codes
    """-1: about no task that is there."""
    known_at: np.ndarray

    @classmethod
    def of(cls, activities: pd.DataFrame, users: pd.DataFrame, state: TasksAsOf) -> "_Acts":
        by = link(activities["user_id"], users["user_id"])
        on = link(activities["task_id"], state.rows["task_id"])
        on = on.where(state.counts[on.thing])
        task = np.full(len(activities), -1)
        task[on.row] = on.thing
        return cls(by.thing, task[by.row], instants(activities["known_at"])[by.row])


def skill_diversity(of: _Members, assigned: Assignments, settings: DeliveryFeatures) -> Floats:
    """`skill_diversity`: Shannon entropy -Σ p ln p of the skills needed by the members' work, over ln 4; 0 to 1.

    The weight of a skill is the members' evidence in it: of every task done within `evidence_window` that needed it,
    the parts (1 / assignees) that are theirs. NaN where no member has done such work.
    """
    tasks = assigned.tasks
    pairs, share = assigned.where(tasks.is_done_within(settings.evidence_window))
    needed = tasks.needs[pairs.row]
    weights = np.stack(
        [totals(*of.of_members(pairs.thing, share * needed[:, number]), of.size) for number in range(len(SKILLS))]
    )
    shares = quotient(weights, weights.sum(axis=0))
    entropy = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0).sum(axis=0)
    has_work = weights.sum(axis=0) > 0
    return np.where(has_work, np.clip(entropy / np.log(len(SKILLS)), 0.0, 1.0), np.nan)


def experience(of: _Members, years: Floats) -> dict[str, Floats]:
    """`experience_avg`, `experience_min`, `experience_max`: of the members whose experience is known, years; NaN where
    nobody's is."""
    is_known = (of.team >= 0) & ~np.isnan(years)
    team, known = of.team[is_known], years[is_known]
    least, most = np.full(of.size, np.inf), np.full(of.size, -np.inf)
    np.minimum.at(least, team, known)
    np.maximum.at(most, team, known)
    count = counts(team, of.size)
    # A sum is rounded differently from its addends: the mean of equal ones may not come out beyond them.
    mean = np.clip(quotient(totals(team, known, of.size), count), least, most)
    return {
        "experience_avg": np.where(count > 0, mean, np.nan),
        "experience_min": np.where(count > 0, least, np.nan),
        "experience_max": np.where(count > 0, most, np.nan),
    }


def workload_balance(of: _Members, hours: Floats) -> Floats:
    """`workload_balance`: 1 - Gini of the members' workload hours; 0 to 1, all alike.

    Gini G = Σ (2 i - n - 1) x_i / (n Σ x), with x_1 to x_n the hours in ascending order. It is 0 for one member, and
    taken as 0 where nobody has any work: nobody has more than another. NaN without members.
    """
    member = np.flatnonzero(of.team >= 0)
    member = member[np.lexsort((hours[member], of.team[member]))]
    team, sorted_h = of.team[member], hours[member]
    size = counts(team, of.size)
    first = np.cumsum(size) - size
    rank = np.arange(len(member)) - first[team] + 1
    spread = totals(team, (2.0 * rank - size[team] - 1.0) * sorted_h, of.size)
    total = totals(team, sorted_h, of.size)
    gini = np.where(total > 0, quotient(spread, size * total), 0.0)
    return np.where(size > 0, np.clip(1.0 - gini, 0.0, 1.0), np.nan)


def collaboration_score(of: _Members, together: Links, tasks: int) -> Floats:
    """`collaboration_score`: density 2 E / (n (n - 1)) of the graph whose nodes are the n members and whose E edges
    join those who worked on a task together; 0 to 1, NaN with fewer than two members."""
    from scipy import sparse  # not while definitions load

    team = of.team[together.thing]
    is_member = team >= 0
    # A task in two teams is two: pairs across teams are no pairs of a team.
    team_task = np.unique(team[is_member] * max(tasks, 1) + together.row[is_member], return_inverse=True)[1]
    worked = sparse.csr_array(
        (np.ones(len(team_task), dtype="int32"), (together.thing[is_member], team_task)),
        shape=(len(of.team), int(team_task.max(initial=-1)) + 1),
    )
    pairs = (worked @ worked.T).tocoo()
    edges_twice = counts(of.team[pairs.row[pairs.row != pairs.col]], of.size)
    size = of.count()
    return quotient(edges_twice, size * (size - 1))


def velocity(of: _Members, assigned: Assignments, settings: DeliveryFeatures) -> Floats:
    """`velocity_tasks_per_week`: tasks done within `velocity_window` with a member among their assignees, each once,
    per week."""
    pairs, _ = assigned.where(assigned.tasks.is_done_within(settings.velocity_window))
    team, task = of.of_members(pairs.thing, pairs.row)
    size = max(len(assigned.tasks), 1)
    return counts(distinct(team * size + task) // size, of.size) / settings.weeks_of_velocity


def _together(assigned: Assignments, acts: _Acts, window: timedelta) -> Links:
    """Pairs of a task and a user who worked on it of late: assigned to it while it is in progress or blocked, or was
    done within the window; or active on it within the window."""
    tasks = assigned.tasks
    is_current = tasks.is_in_progress | tasks.is_blocked | tasks.is_done_within(window)
    pairs, _ = assigned.where(is_current)
    acted = acts.task >= 0
    row, thing = np.concatenate([pairs.row, acts.task[acted]]), np.concatenate([pairs.thing, acts.user[acted]])
    users = max(int(thing.max(initial=0)) + 1, 1)
    once = distinct(row * users + thing)
    return Links(once // users, once % users)
