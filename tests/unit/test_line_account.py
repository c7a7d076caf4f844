"""The account of a file's lines: end to end, each line once, and what does not fit is said."""

from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.commands.line_account import Entry, LineAccount, LineFate, Stretch

PIECES = st.lists(
    st.tuples(st.sampled_from([LineFate.LOADED, LineFate.PUT_ASIDE, LineFate.NO_RECORD]), st.integers(1, 4)),
    max_size=30,
)
"""What a file consists of, in order: a record or a stretch without one, and its lines."""


def entries_of(pieces: list[tuple[LineFate, int]]) -> tuple[list[Entry], int]:
    """The pieces as the catalog has them (rows that follow each other are one entry), and the lines of the file."""
    found: list[Entry] = []
    line_no = 1
    for fate, lines in pieces:
        last = found[-1] if found else None
        if fate is LineFate.NO_RECORD:
            found.append(Entry(line_no=line_no, fate=fate, line_count=lines))
        elif last and fate is LineFate.LOADED and last.fate is LineFate.LOADED:
            found[-1] = Entry(line_no=last.line_no, fate=fate, last_start=line_no, records=last.records + 1)
        else:
            found.append(Entry(line_no=line_no, fate=fate, last_start=line_no, records=1))
        line_no += lines
    return found, line_no - 1


def laid_out(entries: list[Entry], lines: int) -> tuple[LineAccount, list[Stretch]]:
    account = LineAccount(lines)
    return account, list(account.stretches(entries))


def covered(stretches: list[Stretch]) -> list[int]:
    return [line for stretch in stretches for line in range(stretch.first, stretch.last + 1)]


@given(PIECES)
def test_every_line_is_in_one_stretch_with_the_fate_it_had(pieces: list[tuple[LineFate, int]]) -> None:
    entries, lines = entries_of(pieces)
    account, stretches = laid_out(entries, lines)
    assert covered(stretches) == list(range(1, lines + 1))
    fates = [stretch.entry.fate for stretch in stretches for _ in range(stretch.first, stretch.last + 1)]
    assert fates == [fate for fate, count in pieces for _ in range(count)]
    counts = {fate: sum(found is fate for found, _ in pieces) for fate in LineFate}
    noted = sum(count for fate, count in pieces if fate is LineFate.NO_RECORD)
    problems = account.problems(
        rows=counts[LineFate.LOADED], put_aside=counts[LineFate.PUT_ASIDE], without_record=noted
    )
    assert problems == []


@given(PIECES.filter(lambda pieces: any(fate is not LineFate.LOADED for fate, _ in pieces)), st.data())
def test_an_entry_that_is_lost_is_noticed(pieces: list[tuple[LineFate, int]], data: st.DataObject) -> None:
    entries, lines = entries_of(pieces)
    counts = {fate: sum(entry.records for entry in entries if entry.fate is fate) for fate in LineFate}
    noted = sum(entry.line_count for entry in entries)
    entries.remove(data.draw(st.sampled_from(entries)))
    account, stretches = laid_out(entries, lines)
    assert covered(stretches) == list(range(1, lines + 1))
    assert account.problems(rows=counts[LineFate.LOADED], put_aside=counts[LineFate.PUT_ASIDE], without_record=noted)


def test_lines_nothing_begins_on_are_a_stretch_that_says_so() -> None:
    header = Entry(line_no=2, fate=LineFate.NO_RECORD, line_count=1)
    row = Entry(line_no=5, fate=LineFate.LOADED, last_start=5, records=1)
    account, stretches = laid_out([header, row], 6)
    assert [(one.first, one.last, one.entry.fate) for one in stretches] == [
        (1, 1, LineFate.UNKNOWN),
        (2, 2, LineFate.NO_RECORD),
        (3, 4, LineFate.UNKNOWN),
        (5, 6, LineFate.LOADED),
    ]
    assert account.problems(rows=1, put_aside=0, without_record=1) == [
        "of 3 lines nobody knows what became of them",
    ]


def test_a_line_with_two_fates_and_one_beyond_the_end_are_noticed() -> None:
    row = Entry(line_no=1, fate=LineFate.LOADED, last_start=2, records=2)
    aside = Entry(line_no=2, fate=LineFate.PUT_ASIDE, records=1)
    twice, _ = laid_out([row, aside], 2)
    assert twice.problems(rows=2, put_aside=1, without_record=0) == ["1 lines have two fates"]
    beyond, _ = laid_out([row], 1)
    assert beyond.problems(rows=2, put_aside=0, without_record=0) == ["line 2 is beyond the end of the file"]


def test_blank_lines_noted_together_are_counted_once_wherever_they_lie() -> None:
    # Blank are 2, 4 and 6; the reader noted them together as three lines from 2 on.
    blank = Entry(line_no=2, fate=LineFate.NO_RECORD, line_count=3, why="blank")
    first = Entry(line_no=1, fate=LineFate.LOADED, last_start=1, records=1)
    others = Entry(line_no=3, fate=LineFate.LOADED, last_start=5, records=2)
    account, stretches = laid_out([first, blank, others], 6)
    assert [(one.first, one.last) for one in stretches] == [(1, 1), (2, 2), (3, 6)]
    assert account.apart == 2
    assert account.problems(rows=3, put_aside=0, without_record=3) == []
    nowhere, _ = laid_out([first, blank], 2)
    assert nowhere.problems(rows=1, put_aside=0, without_record=3) == [
        "2 lines noted as without a record lie nowhere",
    ]


def test_blank_lines_noted_above_fill_a_gap_behind_another_stretch() -> None:
    blank = Entry(line_no=1, fate=LineFate.NO_RECORD, line_count=2, why="blank")
    footer = Entry(line_no=2, fate=LineFate.NO_RECORD, line_count=1, why="footer")
    account, stretches = laid_out([blank, footer], 3)
    assert [(one.first, one.last, one.entry.fate) for one in stretches] == [
        (line, line, LineFate.NO_RECORD) for line in (1, 2, 3)
    ]
    assert account.problems(rows=0, put_aside=0, without_record=3) == []
