"""Shifts of a level: it jumped, and stayed there.

Belongs here: which series are suspects, where a shift began, whether it is one. Does not belong here: the daily course
that is taken out before (`anomalies_baseline.py`).

A shift is told when it has lasted for `LASTS`, and on every day until it is `OLD` and counts as how things are.

Levels are looked at as they are, and against what the other metrics of the place say: weather moves all of them for
days, an instrument moves alone. Without peers the least shift that can be told is several times as large.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from assets_pkg.quality.anomalies_grid import Floats, median, robust_scale

BLOCK = timedelta(hours=6)
"""Change points are sought among medians of so much time; of daily series among days."""
LASTS = timedelta(days=3)
"""Weather comes and goes within less."""
OLD = timedelta(days=7)
TIMES = 6.0
"""Distance of the levels, in robust standard deviations of the medians of `LASTS` before."""
LEAST = 0.3
"""The same on the scale of a logarithm, a third more or a quarter less: less is nobody's trouble."""
EDGE = 0.6
"""Share of the distance by which the level jumps within a block: weather comes and goes, an instrument jumps."""
STAYS = 0.9
"""Share of the blocks behind the jump that lie beyond the middle between the two levels."""
LEAST_BLOCKS = 14
SHARP = 10.0
"""asinh(value / level) flattens what lies below the level: a fall to a fifth would be half as far as a rise to five
times. Of so many times the value it is the logarithm down to a tenth of the level, and both are as far."""


LEAST_PEERS = 3
"""The median of fewer is as odd as one of them."""


@dataclass(frozen=True)
class Shift:
    """A shift of one series: the step of the grid it began with, and `score` in multiples of its threshold."""

    series: int
    start: int
    score: float


def shifts_of(
    even: Floats, *, end: int, look_back: int, per_day: int, places: Iterable[NDArray[np.int64]] = ()
) -> list[Shift]:
    """Shifts as of the end of a day: `even` has the series without their daily course, `end` is the step behind the
    day, `look_back` the number of steps that are looked at; `places` are the numbers of series that are peers."""
    block = max(per_day * BLOCK // timedelta(days=1), 1)
    begin = max(end - look_back, 0)
    begin = end - (end - begin) // block * block
    level = np.arcsinh(SHARP * np.sinh(even[:, begin:end]))
    blocks = median(level.reshape(len(even), -1, block), least=max(block // 2, 1))
    lasts = max(per_day * (LASTS // timedelta(days=1)) // block, 4)
    old = per_day * (OLD // timedelta(days=1)) // block
    if blocks.shape[1] < LEAST_BLOCKS + old:
        return []
    found = _told(_without_peers(blocks, places, old), lasts, old) | _told(blocks, lasts, old)
    return [Shift(series, begin + place * block, score) for series, (place, score) in sorted(found.items())]


def _told(blocks: Floats, lasts: int, old: int) -> dict[int, tuple[int, float]]:
    """Per series that shifted the block its shift began with, and its score."""
    threshold = _threshold(blocks[:, :-old], lasts)
    moved = np.abs(median(blocks[:, -lasts:]) - median(blocks[:, :-old], least=LEAST_BLOCKS))
    found = {}
    for series in np.flatnonzero(moved > threshold):
        told = _shift(blocks[series], threshold[series], lasts, old)
        if told is not None:
            place, distance = told
            found[int(series)] = (place, float(distance / threshold[series]))
    return found


def _without_peers(blocks: Floats, places: Iterable[NDArray[np.int64]], old: int) -> Floats:
    """The series less what follows from their peers' median by least squares over the blocks before; NaN without
    peers. A median: one peer that shifts moves it little."""
    history = blocks[:, :-old]
    usual, scale = median(history, least=LEAST_BLOCKS), robust_scale(history, least=LEAST_BLOCKS)
    z = (blocks - usual[:, None]) / np.where(scale > 0, scale, np.nan)[:, None]
    left = np.full_like(blocks, np.nan)
    for place in places:
        for series in place if len(place) > LEAST_PEERS else ():
            peers = median(z[place[place != series]].T, least=LEAST_PEERS)
            both = ~np.isnan(peers[:-old]) & ~np.isnan(z[series, :-old])
            if both.sum() >= LEAST_BLOCKS and peers[:-old][both].any():
                x, y = peers[:-old][both], z[series, :-old][both]
                left[series] = (z[series] - (x @ y) / (x @ x) * peers) * scale[series]
    return left


def _threshold(before: Floats, lasts: int) -> Floats:
    """Per series, how far the level must move: by how much medians of so many blocks differ anyway."""
    windows = np.lib.stride_tricks.sliding_window_view(before, lasts, axis=1)
    usual = robust_scale(median(windows, least=lasts // 2), least=LEAST_BLOCKS - lasts)
    return np.maximum(TIMES * usual, LEAST)


def _shift(blocks: Floats, threshold: float, lasts: int, old: int) -> tuple[int, float] | None:
    """The block a shift began with and the distance of the levels; None if there is none, or it is too new or old."""
    there = np.flatnonzero(~np.isnan(blocks))
    x = blocks[there]
    if len(x) < LEAST_BLOCKS + lasts:
        return None
    import ruptures  # takes a second

    split = ruptures.KernelCPD(kernel="linear", min_size=min(lasts, len(x) // 2)).fit(x[:, None]).predict(n_bkps=1)[0]
    since = len(blocks) - there[split]
    before, after = float(np.median(x[:split])), float(np.median(x[split:]))
    shift = after - before
    jump = (x[split] - x[split - 1]) / shift if shift else 0.0
    stays = ((x[split:] - (before + after) / 2) * np.sign(shift) > 0).mean()
    is_one = lasts <= since <= old and abs(shift) > threshold and jump >= EDGE and stays >= STAYS
    return (int(there[split]), abs(shift)) if is_one else None
