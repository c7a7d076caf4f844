"""What was planted on which day: the answer key of a generated delivery organisation.

Belongs here: `DayTruth`. Does not belong here: planting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class DayTruth:
    """What is true of one UTC day (closed right), per table of the source where it is a mapping."""

    day: date
    stamped: Mapping[str, int]
    """Good rows stamped in the day, those that are committed a day late among them."""
    things: Mapping[str, int]
    """States: how many keys there are at the END of the day."""
    rejected: Mapping[str, int]
    """Rows stamped in the day that break a rule: without a value that may not be missing, or a negative quantity."""
    duplicates: Mapping[str, int]
    """Rows stamped in the day that repeat another one."""
    late_activities: int
    """Activities of the day that are committed with the rows of the next one."""
    tasks_by_status: Mapping[str, int]
    """Tasks at the END of the day."""
    tasks_completed: int
    """Tasks that were done in the day and still are at its END."""
    active_users: int
    """Users who work here at the END of the day."""
