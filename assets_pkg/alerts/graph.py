"""The asset graph as alerts need it: what is upstream of what, and which step fills which table.

Belongs here: reading it from the definitions that are loaded. Does not belong here: what follows from it
(`resources/alerts/finding.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from assets_pkg.automation import JOB_TABLES


@dataclass(frozen=True)
class AlertGraph:
    """Tables by their names `schema.table`."""

    parents: Mapping[str, tuple[str, ...]]
    steps: Mapping[str, tuple[str, ...]]
    """Key of a step -> the tables it fills."""

    def begun_with(self, run: dg.DagsterRun) -> tuple[str, ...]:
        """The tables of a run that none of its others is upstream of."""
        selected = [".".join(key.path) for key in run.asset_selection or ()] or list(JOB_TABLES.get(run.job_name, ()))
        return tuple(
            sorted(one for one in selected if one in self.parents and not set(self.parents[one]) & set(selected))
        )


def graph_of(repository: dg.RepositoryDefinition) -> AlertGraph:
    """The graph of what is loaded."""
    graph = repository.asset_graph
    parents: dict[str, tuple[str, ...]] = {}
    steps: dict[str, tuple[str, ...]] = {}
    for key in graph.executable_asset_keys:
        node = graph.get(key)
        name = ".".join(key.path)
        parents[name] = tuple(sorted(".".join(parent.path) for parent in node.parent_keys))
        step = node.assets_def.node_def.name
        steps[step] = (*steps.get(step, ()), name)
    return AlertGraph(parents, steps)
