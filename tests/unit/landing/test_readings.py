"""The best reading of a column whose kind is known, though some cells break it; what is undecided is never guessed."""

import pytest

from resources.landing.columns.casting import TYPED, Plan, cast
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.row_width import LONGEST_KEPT, NARROW, width
from resources.landing.text_table import REJECTS
from tests.unit.landing.builders import guess, rows_of, text_table


@pytest.mark.parametrize(
    ("cells", "kind", "convention"),
    [
        (["1.234,56", "zwölf", "0,5"], Kind.NUMBER, {"decimal": ",", "thousands": "."}),
        (["3,5", "4,25", "2.5"], Kind.NUMBER, {"decimal": ","}),
        (["5 €", "6 €", "$7"], Kind.INTEGER, {"currency": "€"}),
        (["1", "2", "3%"], Kind.INTEGER, {}),
        (["13/02/2026", "01/02/2026", "soon"], Kind.TIMESTAMP, {"date_order": "DMY"}),
        (["2026-01-02", "01/02/2026"], Kind.TIMESTAMP, {"date_order": "YMD"}),
        (["05/05/2026", "06/06/2026"], Kind.TIMESTAMP, {"date_order": "DMY"}),
        ([*map(str, range(40)), "NA", "x"], Kind.NUMBER, {"missing_words": ["NA"]}),
    ],
)
def test_broken_cells_do_not_hide_how_the_others_are_written(
    cells: list[str | None], kind: Kind, convention: dict[str, object]
) -> None:
    reading = guess(cells).reading(kind)
    assert reading is not None
    assert (reading.convention.to_dict(), reading.doubt) == (convention, None)


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (["01/02/2026", "03/04/2026"], Kind.TIMESTAMP, "declare date_order"),
        (["01/02/2026", "03/04/2026", "soon"], Kind.TIMESTAMP, "declare date_order"),
        (["1.234", "5.678"], Kind.NUMBER, "declare decimal"),
        (["1,234", "5,678", "six"], Kind.INTEGER, "declare decimal"),
    ],
)
def test_two_readings_of_the_same_cells_are_a_doubt(cells: list[str | None], kind: Kind, words: str) -> None:
    reading = guess(cells).reading(kind)
    assert reading is not None
    assert words in (reading.doubt or "")


def test_text_and_kinds_no_cell_looks_like_have_no_reading() -> None:
    found = guess(["alpha", "beta"])
    assert [found.reading(kind) for kind in Kind] == [None] * len(Kind)


def test_every_cell_of_a_column_in_doubt_is_bad_and_says_why() -> None:
    with text_table(["01/02/2026", None, "x"]) as table:
        casted = cast(
            table, [Plan(name="at", source="c0", kind=Kind.TIMESTAMP, doubt="DMY or MDY; declare date_order")]
        )
        found = [(rule, reason) for *_, rule, reason in rows_of(table, REJECTS)]
    assert casted.rows == 1
    reason = "at: ambiguous, DMY or MDY; declare date_order: "
    assert found == [("at: ambiguous", f'{reason}"01/02/2026"'), ("at: ambiguous", f'{reason}"x"')]


def test_the_width_of_a_row_counts_what_stays_in_the_page() -> None:
    cells = (["é" * 3, "x" * 1_000, None], ["1", None, None], ["true", "false", None])
    plans = [
        Plan(name="t", source="c0", kind=Kind.TEXT),
        Plan(name="n", source="c1", kind=Kind.INTEGER, convention=Convention()),
        Plan(name="b", source="c2", kind=Kind.BOOLEAN),
    ]
    with text_table(*cells) as table:
        cast(table, plans)
        found = table.connection.execute(f"SELECT {width(plans)} FROM {TYPED} ORDER BY line_no").fetchall()  # noqa: S608 - ours
    most = [size for (size,) in found]
    assert [size - most[2] for size in most] == [7 + 8 + 1, LONGEST_KEPT + 1, 0], (
        "two bytes each letter and one in front"
    )
    assert NARROW > 300
