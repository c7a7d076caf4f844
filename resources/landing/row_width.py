"""How much room a typed row takes in a page of PostgreSQL, which holds a row whole but for long texts.

Belongs here: the estimate, as SQL over `rows_typed`. Does not belong here: what becomes of rows that are too wide.
"""

from collections.abc import Sequence
from itertools import pairwise

from resources.landing.columns.casting import Plan
from resources.landing.columns.kinds import Kind
from resources.landing.columns.sql_text import identifier

ROW_BYTES = 8_160
"""What a page holds of one row."""
OWN_BYTES = 160
"""Header, our own columns and what aligns them."""
LONGEST_KEPT = 24
"""Longer values are moved out of the page where room is short; the pointer left is no longer than this."""
NARROW = (ROW_BYTES - OWN_BYTES) // (LONGEST_KEPT + 1)
"""So many columns fit whatever they hold."""


def width(plans: Sequence[Plan]) -> str:
    """SQL of the most bytes that a row takes once its long texts are moved out of the page."""
    given = [plan for plan in plans if plan.source is not None]
    sizes = [_size(plan) for plan in given]
    alignments = sum(one.kind is Kind.TEXT is not other.kind for one, other in pairwise(given))
    bitmap = len(plans) // 8 + 8
    return f"{OWN_BYTES + bitmap + 7 * alignments} + list_sum([{', '.join(sizes)}])"


def _size(plan: Plan) -> str:
    column = identifier(plan.name)
    full = {Kind.TEXT: f"least(strlen({column}) + 1, {LONGEST_KEPT})", Kind.BOOLEAN: "1"}.get(plan.kind, "8")
    return f"CASE WHEN {column} IS NULL THEN 0 ELSE {full} END"
