"""What the delivery features rest on that is a choice: windows, strengths, weights.

Belongs here: the choices, with reasons. Does not belong here: the features (`delivery_features.py`), how they are
computed (`assets_pkg/features/delivery_*.py`).
"""

from dataclasses import dataclass, fields
from datetime import timedelta

from schemas.source_datasets.delivery import SKILLS
from schemas.window import ONE_DAY


@dataclass(frozen=True, kw_only=True)
class DeliveryFeatures:
    """The parameters of the delivery features. Windows are closed on the right: (as of - window, as of]."""

    aggregation_window: timedelta = 7 * ONE_DAY
    """Over which finished tasks are counted. A week holds every weekday once."""
    velocity_window: timedelta = 28 * ONE_DAY
    """Over which tasks per week are averaged, and who worked with whom is seen. Four whole weeks outlast a sprint of
    two and a holiday, and every weekday counts alike."""
    activity_window: timedelta = 28 * ONE_DAY
    """How far back a user's last activity is looked for; whole days, since the activities of a day are read whole."""
    evidence_window: timedelta = 365 * ONE_DAY
    """From how far back finished tasks and bugs tell of a person. Rates need dozens of tasks, and what somebody did
    years ago says little of today."""
    skill_prior: float = 1 / len(SKILLS)
    """Skill score of somebody nobody knows anything of: one of four skills, no idea which. It is fixed and not the mean
    of all users, so that one user's score does not move because another finished a task."""
    skill_shrinkage_tasks: float = 5.0
    """How many tasks of one's own weigh as much as the prior: fewer than five are an anecdote."""
    urgency_tau_days: float = 7.0
    """A deadline a week away is 1/e as urgent as one that is due: most teams plan by the week."""
    complexity_half_h: float = 16.0
    """Effort at which the effort's part of complexity is one half: two working days, beyond which tasks get split."""
    complexity_half_dependencies: float = 2.0
    """Number of dependencies at which their part of complexity is one half."""
    complexity_effort_weight: float = 0.5
    complexity_skills_weight: float = 0.25
    complexity_dependencies_weight: float = 0.25
    """The estimate is the people's own judgement of the whole task, so that it weighs as much as the rest together."""
    risk_blocked_weight: float = 0.25
    risk_overdue_weight: float = 0.25
    risk_overrun_weight: float = 0.25
    risk_slip_weight: float = 0.25
    """Equal: nothing is known yet that would make one of the four matter more. Only ratios of them count."""

    def __post_init__(self) -> None:
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            if isinstance(value, timedelta):
                if value <= timedelta(0):
                    raise ValueError(f"{name} is longer than nothing, not {value}")
            elif not 0 <= value < float("inf"):
                raise ValueError(f"{name} is a finite number from 0 up, not {value}")
        if self.activity_window % ONE_DAY or self.velocity_window % ONE_DAY:
            raise ValueError("activity_window and velocity_window are whole days: activities are read day by day")
        if not self.skill_prior <= 1:
            raise ValueError(f"skill_prior is a share from 0 to 1, not {self.skill_prior}")
        for name in ("urgency_tau_days", "complexity_half_h", "complexity_half_dependencies"):
            if not getattr(self, name):
                raise ValueError(f"{name} is more than 0: it is divided by")
        if not self.complexity_weights or not self.risk_blocked_weight + self.risk_overdue_weight:
            raise ValueError("weights of complexity, and those of blocked and overdue tasks, are not all 0")

    @property
    def complexity_weights(self) -> float:
        """Their sum, by which they are divided."""
        return self.complexity_effort_weight + self.complexity_skills_weight + self.complexity_dependencies_weight

    @property
    def weeks_of_velocity(self) -> float:
        """Length of `velocity_window` in weeks."""
        return self.velocity_window / timedelta(days=7)


DELIVERY = DeliveryFeatures()
"""What the tables hold."""
