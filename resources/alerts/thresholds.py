"""From where on something is worth an alert.

Belongs here: the numbers, their units and defaults. Does not belong here: what they are compared with
(`conditions.py`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What the settings `TIDEMARK_ALERT_*` say."""

    most_failures: int = 3
    """Failed runs of an asset in a row that are critical."""
    score_pct: float = 90.0
    """Quality scores below it are a warning."""
    settled_h: float = 6.0
    """Hours after the end of a day from which its score counts: before, rows are still to come."""
    look_back_days: int = 14
    """Days whose quality, anomalies and drift count."""
    api_s: float = 60.0
    """Seconds an API may take to answer."""
    circuit_s: float = 300.0
    """Seconds a dependency may be out of order."""
    silent_s: float = 1800.0
    """Seconds a sensor or schedule may be overdue."""


DEFAULTS = Thresholds()
