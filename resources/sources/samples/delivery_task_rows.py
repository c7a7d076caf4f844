"""Versions of simulated tasks as rows of the source's table.

Belongs here: the table's columns. Does not belong here: what happens to tasks.
"""

import numpy as np
import pandas as pd

from resources.sources.samples import delivery_texts as texts
from resources.sources.samples.delivery_rows import Columns
from schemas.source_datasets.delivery import TASK_KINDS


def task_rows(found: Columns) -> pd.DataFrame:
    """The versions, in the order of their stamps."""
    order = np.lexsort((found["number"], found["at"]))
    found = {name: values[order] for name, values in found.items()}
    people = [texts.ids("u", found[name]) for name in ("first", "second", "third")]
    columns = {
        "task_id": texts.ids("t", found["number"]),
        "project_id": texts.ids("p", found["project"]),
        "title": texts.titles(found["kind"], found["number"], found["is_odd"]),
        "kind": texts.chosen(TASK_KINDS, found["kind"]),
        "status": texts.statuses(found["status"]),
        "priority": pd.array(np.where(found["priority"] < 0, np.nan, found["priority"]), dtype="Int64"),
        "estimated_h": found["estimated_h"],
        "remaining_h": np.round(found["remaining_h"], 2),
        "skills": texts.skill_lists(found["skills"]),
        "assignees": texts.joined(*people),
        "depends_on": texts.joined(texts.ids("t", found["waits_for"]), texts.ids("t", found["waits_for_too"])),
        "attributed_to": texts.ids("u", found["attributed"]),
        "reopened": found["reopened"],
        "created_at": found["created_us"],
        "started_at": found["started_us"],
        "completed_at": found["completed_us"],
        "deadline": found["deadline_us"],
        "updated_at": found["at"],
    }
    return texts.frame("tasks", columns)
