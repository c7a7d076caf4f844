"""A file is taken when it has been quiet for long enough or when its writer says so, and never before."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from resources.landing.files_seen import KEY_LENGTH, QUIET, Seen, from_cursor, stable, to_cursor

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def seen(path: str = "a.csv", *, size: int = 10, version: str = "1", has_marker: bool = False) -> Seen:
    return Seen("air", "air", path, size, START - timedelta(days=9000), version, has_marker)


def looks(*at: tuple[float, Iterable[Seen]], quiet: timedelta = QUIET) -> list[Seen]:
    """What is whole at the last of some looks, each so many seconds after the start."""
    whole: list[Seen] = []
    sightings: dict[str, datetime] = {}
    for seconds, files in at:
        whole, sightings = stable(files, sightings, START + seconds * SECOND, quiet=quiet)
    return whole


def test_a_file_is_whole_after_two_looks_that_lie_the_quiet_period_apart() -> None:
    assert looks((0, [seen()]), (5, [seen()])) == [seen()]


def test_one_look_is_never_enough() -> None:
    assert looks((0, [seen()]), quiet=timedelta(0)) == []


def test_two_looks_in_the_quiet_period_are_not_enough() -> None:
    assert looks((0, [seen()]), (4.9, [seen()])) == []


@pytest.mark.parametrize("changed", [seen(size=11), seen(version="2"), seen()._replace(placed="2")])
def test_a_change_of_size_or_time_starts_the_quiet_period_anew(changed: Seen) -> None:
    assert looks((0, [seen()]), (5, [changed]), (9, [changed])) == []
    assert looks((0, [seen()]), (5, [changed]), (10, [changed])) == [changed]


def test_a_version_that_comes_back_is_looked_at_anew() -> None:
    assert looks((0, [seen()]), (3, [seen(size=11)]), (6, [seen()])) == []


def test_a_file_that_was_away_is_looked_at_anew() -> None:
    assert looks((0, [seen()]), (3, []), (6, [seen()])) == []


def test_a_marker_makes_a_file_whole_at_once() -> None:
    assert looks((0, [seen(has_marker=True)])) == [seen(has_marker=True)]


def test_the_time_of_change_is_never_held_against_our_clock() -> None:
    future = seen()._replace(modified_at=START + timedelta(days=9000))
    assert looks((0, [future]), (5, [future])) == [future]


def test_a_clock_that_is_put_back_starts_the_quiet_period_anew() -> None:
    assert looks((3600, [seen()]), (0, [seen()])) == []
    assert looks((3600, [seen()]), (0, [seen()]), (4, [seen()])) == []
    assert looks((3600, [seen()]), (0, [seen()]), (5, [seen()])) == [seen()]


def test_a_known_file_is_neither_whole_nor_sighted() -> None:
    files = [seen("a.csv", has_marker=True), seen("b.csv")]
    whole, sightings = stable(files, {}, START, known={files[0].key})
    assert whole == []
    assert set(sightings) == {files[1].key}


def test_a_whole_file_stays_whole_until_it_is_known() -> None:
    assert looks((0, [seen()]), (5, [seen()]), (6, [seen()])) == [seen()]


def test_sightings_are_bounded_and_those_that_wait_come_first() -> None:
    files = [seen(f"{number}.csv") for number in range(10)]
    _, first = stable(files[5:], {}, START, at_most=3)
    _, second = stable(files, first, START + SECOND, at_most=4)
    assert set(first) == {file.key for file in files[5:8]}
    assert set(second) == {*first, files[0].key}


def test_a_cursor_is_compact() -> None:
    _, sightings = stable([seen(f"{'x' * 200}{number}.csv") for number in range(10_000)], {}, START)
    assert len(to_cursor(sightings)) < 10_000 * KEY_LENGTH + 100


@given(
    st.dictionaries(
        st.builds(lambda path, size: seen(path, size=size).key, st.text(), st.integers(0, 2**63)),
        st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),
    )
)
def test_a_cursor_gives_back_its_sightings(sightings: dict[str, datetime]) -> None:
    assert from_cursor(to_cursor(sightings)) == sightings


@pytest.mark.parametrize("cursor", [None, "", "{}", "x", "[1]", "{", '{"a": "b"}', '{"1": 2}', '{"9e99": "x"}', "null"])
def test_a_cursor_of_something_else_holds_no_sighting(cursor: str | None) -> None:
    assert from_cursor(cursor) == {}


class Writers(RuleBasedStateMachine):
    """Writers that write when they like, and a sensor that looks when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.writes = 0
        self.files: dict[str, Seen] = {}
        self.written_at: dict[str, datetime] = {}
        self.cursor: str | None = None
        self.taken: dict[str, Seen] = {}

    @initialize(at_most=st.integers(1, 3))
    def begin(self, at_most: int) -> None:
        self.at_most = at_most

    @rule(name=st.sampled_from("abcdef"), size=st.integers(0, 3))
    def write(self, name: str, size: int) -> None:
        """Every write changes the time of change, but perhaps not the size."""
        self.writes += 1
        self.files[name] = seen(name, size=size, version=str(self.writes))
        self.written_at[name] = self.now

    @rule(name=st.sampled_from("abcdef"))
    def mark(self, name: str) -> None:
        if name in self.files:
            self.files[name] = self.files[name]._replace(has_marker=True)

    @rule(name=st.sampled_from("abcdef"))
    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds: float) -> None:
        self.now += seconds * SECOND

    @rule()
    def look(self) -> None:
        known = {file.key for file in self.taken.values()}
        whole, sightings = stable(
            self.files.values(), from_cursor(self.cursor), self.now, known=known, at_most=self.at_most
        )
        for file in whole:
            assert file.has_marker or self.now - self.written_at[file.path] >= QUIET
            assert file.key not in known
            self.taken[file.path] = file
        assert len(sightings) <= self.at_most + len(whole)
        self.cursor = to_cursor(sightings)

    def teardown(self) -> None:
        """Once the writers are done, every file is taken as it is."""
        for _ in range(2 + 2 * len(self.files)):
            self.look()
            self.now += QUIET
        assert {name: file.key for name, file in self.files.items()} == {
            name: self.taken[name].key for name in self.files if name in self.taken
        }


TestWriters = Writers.TestCase
