"""Choices that weigh several objectives at once: none is better in all of them, and a person or a program picks.

Belongs here: the front of a table of objectives, thinning it, its knee, and the search by NSGA-II (Deb et al. 2002).
Does not belong here: what the objectives are (`feature_sets.py`). Every objective here is a cost: less is better. pymoo
is imported when it searches.
"""

from collections.abc import Callable

import numpy as np

Objectives = Callable[[np.ndarray], tuple[np.ndarray, bool]]
"""Of a mask of the members: the costs, and whether the set may be chosen at all."""


def non_dominated(costs: np.ndarray) -> np.ndarray:
    """Which rows (mask) are not dominated: no other row is at most as costly in every column and less in one."""
    no_worse = (costs[:, None, :] <= costs[None, :, :]).all(axis=2)
    better = (costs[:, None, :] < costs[None, :, :]).any(axis=2)
    return ~(no_worse & better).any(axis=0)


def thinned(costs: np.ndarray, most: int) -> np.ndarray:
    """Index of at most `most` rows that cover the front best: the one in the most crowded place goes first, again and
    again; the best of each objective stay while there is room."""
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    kept = np.arange(len(costs))
    while len(kept) > most:
        distances = calc_crowding_distance(costs[kept])
        kept = np.delete(kept, int(np.argmin(distances)))
    return kept


def knee(costs: np.ndarray) -> int:
    """Index of the row that gives most for its price: each column is scaled from 0 (best row) to 1 (worst row); the
    first is what is wanted, the mean of the others its price, and the least sum of the two wins (as the knee of Das
    1999, farthest below the line between the dearest and the poorest)."""
    spans = np.ptp(costs, axis=0)
    scaled = (costs - costs.min(axis=0)) / np.where(spans > 0, spans, 1.0)
    return int(np.argmin(scaled[:, 0] + scaled[:, 1:].mean(axis=1)))


def searched(first: np.ndarray, objectives: Objectives, *, generations: int, seed: int) -> np.ndarray:
    """Masks (row per set, column per feature) of the front that NSGA-II finds from the `first` population; none if no
    set may be chosen. The same input and seed give the same front."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation
    from pymoo.optimize import minimize

    members = first.shape[1]
    columns = len(objectives(first[0])[0])

    class Choice(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(n_var=members, n_obj=columns, n_ieq_constr=1, xl=0, xu=1, vtype=bool)

        def _evaluate(self, x: np.ndarray, out: dict, *_: object, **__: object) -> None:
            costs, may_be = objectives(x.astype(bool))
            out["F"], out["G"] = costs, [-1.0 if may_be else 1.0]

    algorithm = NSGA2(
        pop_size=len(first),
        sampling=first,
        crossover=UniformCrossover(),
        mutation=BitflipMutation(prob=1.0, prob_var=1.5 / members),
        eliminate_duplicates=True,
    )
    found = minimize(Choice(), algorithm, ("n_gen", generations), seed=seed, verbose=False)
    if found.X is None:
        return np.zeros((0, members), dtype=bool)
    masks = np.unique(np.atleast_2d(found.X).astype(bool), axis=0)
    return masks[non_dominated(np.array([objectives(mask)[0] for mask in masks]))]
