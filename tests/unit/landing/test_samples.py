"""The sample files: the same bytes every time, dirt where it is said to be, an answer key that counts every line."""

import csv
import gzip
import io
import json
import re
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.landing.names import is_temporary
from resources.landing.samples.generate import drop, sample_files
from resources.landing.samples.meters import METERS
from resources.landing.samples.sales import EXPORT_HEADER, GERMAN_HEADER, HEADER
from resources.landing.samples.transactions import PRODUCTS, sales_between
from resources.landing.samples.truth import SampleFile
from resources.landing.samples.written_lines import WrittenLines, delimited
from schemas.declared_files import file_datasets
from schemas.file_datasets.sales import REGIONS

LAST = date(2026, 11, 21)
SALES, METER_DATASET, VISITORS = "sales", "meters", "museum_visitors"


@pytest.fixture(scope="module")
def files() -> list[SampleFile]:
    return sample_files(LAST)


def named(files: list[SampleFile], start: str, number: int = 0) -> SampleFile:
    return [file for file in files if file.name.startswith(start)][number]


def of(files: list[SampleFile], dataset: str) -> list[SampleFile]:
    return [file for file in files if file.dataset == dataset]


def text_of(file: SampleFile) -> str:
    content = gzip.decompress(file.content) if file.name.endswith(".gz") else file.content
    if file.name.startswith("Umsatz"):
        return content.decode("cp1252")
    return content.decode("utf-16" if file.name.startswith("export") else "utf-8")


def lines_of(file: SampleFile) -> list[str]:
    return text_of(file).replace("\r\n", "\n").removesuffix("\n").split("\n")


def broken_line(file: SampleFile, rule: str, number: int = 0) -> str:
    line_no = [line_no for line_no, broken in file.rejects.items() if broken == rule][number]
    return lines_of(file)[line_no - 1]


def readings_of(file: SampleFile) -> list[dict[str, Any]]:
    return [
        {**reading, "meter_id": meter["meter_id"]}
        for site in json.loads(file.content)["sites"]
        for meter in site["meters"]
        for reading in meter["readings"]
    ]


def sheet_of(file: SampleFile, *, values: bool = False) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(io.BytesIO(file.content), data_only=values)
    assert book.sheetnames == ["Sales"]
    return list(book["Sales"].iter_rows(values_only=True))


def counted(file: SampleFile) -> int:
    """Lines of the file, told from its bytes."""
    if file.name.endswith(".xlsx"):
        return len(sheet_of(file))
    if file.name.endswith(".json"):
        return len(readings_of(file))
    return len(lines_of(file)) if file.content else 0


def table(file: SampleFile, delimiter: str) -> list[dict[str, str]]:
    """Header and rows of a file without rejects, as Python's own reader sees them."""
    assert not file.rejects
    lines = lines_of(file)
    kept = [line for number, line in enumerate(lines, start=1) if file.skipped.get(number) in (None, "header")]
    return list(csv.DictReader(kept, delimiter=delimiter, strict=True))


def test_the_same_seed_gives_the_same_files_and_another_one_does_not(files: list[SampleFile]) -> None:
    assert sample_files(LAST, seed=7) == files
    others = sample_files(LAST, seed=8)
    assert all(ours.content != theirs.content for ours, theirs in zip(files, others, strict=True) if ours.content)


def test_workbooks_do_not_know_when_they_were_written(files: list[SampleFile]) -> None:
    with zipfile.ZipFile(io.BytesIO(named(files, "sales_20261028").content)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        stamps = re.findall(r"\d{4}-\d\d-\d\dT[^<]*", archive.read("docProps/core.xml").decode())
    assert stamps == ["1980-01-01T00:00:00Z"] * 2


@settings(max_examples=8, deadline=None)
@given(last=st.dates(date(2020, 1, 1), date(2035, 12, 31)), seed=st.integers(0, 1_000))
def test_the_truth_adds_up_to_the_lines_of_every_file(last: date, seed: int) -> None:
    for file in sample_files(last, seed):
        if file.fate != "loaded":
            assert (file.lines, file.rows, file.rejects, file.skipped) == (0, 0, {}, {})
            continue
        assert file.lines == counted(file), file.name
        assert file.rows + len(file.rejects) + len(file.skipped) == len(file.truth)
        starts = [line.line_no for line in file.truth]
        ends = [line.line_no + line.line_count for line in file.truth]
        assert starts == [1, *ends][: len(starts)], file.name
        assert all((line.rule is None) == (line.fate == "row") for line in file.truth)


def test_every_fate_and_every_kind_of_dirt_is_there(files: list[SampleFile]) -> None:
    assert Counter(file.fate for file in files) == {"loaded": 17, "rejected": 2, "duplicate": 1}
    assert Counter(rule for file in of(files, SALES) for rule in file.rejects.values()) == {
        "ragged": 2,
        "unclosed_quote": 2,
        "nul": 1,
        "not_a_number": 1,
        "not_a_time": 1,
        "unknown_category": 1,
        "out_of_range": 2,
        "missing": 1,
        "no_cached_value": 1,
    }
    assert Counter(rule for file in of(files, METER_DATASET) for rule in file.rejects.values()) == {
        "out_of_range": 1,
        "missing": 1,
    }
    assert {kind for file in files for kind in file.skipped.values()} == {"preamble", "header", "footer", "blank"}
    assert all(file.note.endswith(".") for file in files)


def test_sales_files_have_the_size_of_samples(files: list[SampleFile]) -> None:
    assert all(50 <= file.rows <= 400 for file in of(files, SALES) if file.fate == "loaded" and file.content)


def test_sales_have_a_weekly_cycle_and_all_regions_and_products() -> None:
    sales = sales_between(date(2026, 1, 5), date(2026, 7, 5), seed=7)
    days = Counter(sale.sold_at.weekday() for sale in sales)
    assert days[5] > days[0] > days[6]
    assert {sale.region for sale in sales} == set(REGIONS)
    assert {sale.product for sale in sales} == {product.name for product in PRODUCTS}
    assert min(sale.quantity for sale in sales) == -1
    assert all(sale.cents > 0 for sale in sales)


def test_a_day_is_the_same_whatever_range_is_asked_for() -> None:
    day = date(2026, 9, 30)
    longer = sales_between(day - timedelta(days=3), day + timedelta(days=3), seed=7)
    assert [sale for sale in longer if sale.sold_at.date() == day] == sales_between(day, day, seed=7)


def test_the_clean_file_fits_the_declaration(files: list[SampleFile]) -> None:
    dataset, first = file_datasets()[SALES], files[0]
    rows = table(first, ",")
    assert tuple(rows[0]) == HEADER == tuple(dataset.data_columns)
    assert len(rows) == first.rows
    for row in rows:
        assert row["region"] in REGIONS
        assert dataset.arrival("price").minimum <= float(row["price"]) <= dataset.arrival("price").maximum
        assert datetime.fromisoformat(row["transaction_date"]) < datetime.fromisoformat(row["created_at"])
    assert any(row["customer_id"] == "" for row in rows)
    assert any(row["customer_id"].startswith("0") for row in rows)


def test_transactions_are_named_once_but_for_the_planted_repeats(files: list[SampleFile]) -> None:
    for start, delimiter, key in (("sales_20260923", ",", HEADER[0]), ("Umsatz", ";", GERMAN_HEADER[0])):
        file = named(files, start)
        ids = [row[key] for row in table(file, delimiter)]
        repeated = [line.line_no for line in file.truth if line.is_repeated]
        assert len(ids) - len(set(ids)) == len(repeated)
        lines = lines_of(file)
        assert all(lines.index(lines[number - 1]) < number - 1 for number in repeated)
    assert [line.line_no for line in named(files, "Umsatz").truth if line.is_repeated] == [327, 328]


def test_the_german_file_is_as_a_german_excel_saves_it(files: list[SampleFile]) -> None:
    file = named(files, "Umsatz")
    with pytest.raises(UnicodeDecodeError):
        file.content.decode("utf-8")
    assert b"\x84Zum Eck\x93" in file.content
    assert file.content.count(b"\r\n") == file.content.count(b"\n") == file.lines
    assert file.content.startswith(b"Beleg-Nr;Kunde;Artikel;Menge;Einzelpreis (EUR);Datum;Gebiet\r\n")
    rows = table(file, ";")
    prices = {row["Einzelpreis (EUR)"] for row in rows}
    assert "1.249,00" in prices
    assert all(Decimal(price.replace(".", "").replace(",", ".")) > 0 for price in prices)
    days = [datetime.strptime(row["Datum"], "%d.%m.%Y").date() for row in rows]
    assert max(day.day for day in days) > 12
    assert {row["Gebiet"] for row in rows} == set(REGIONS)


@given(last=st.dates(date(2020, 1, 1), date(2035, 12, 31)))
def test_german_dates_always_tell_day_from_month(last: date) -> None:
    assert any((last - timedelta(days=before)).day > 12 for before in range(35, 50))


def test_the_export_has_lines_around_its_table(files: list[SampleFile]) -> None:
    file = named(files, "export")
    assert file.content.startswith(b"\xff\xfeB\0r\0")
    lines = lines_of(file)
    assert {number: lines[number - 1].split(" ")[0].split("\t")[0] for number in file.skipped} == {
        1: "Branch",
        2: "Period:",
        3: "",
        4: "Order",
        file.lines - 1: "",
        file.lines: "Total:",
    }
    rows = table(file, "\t")
    assert tuple(rows[0]) == EXPORT_HEADER
    assert lines[-1] == f"Total: {len(rows)} transactions, {sum(int(row['Qty']) for row in rows)} pieces"


def test_the_workbook_has_a_title_real_dates_and_a_formula_nobody_computed(files: list[SampleFile]) -> None:
    file = named(files, "sales_20261028")
    computed, written = sheet_of(file, values=True), sheet_of(file)
    assert file.skipped == {1: "preamble", 2: "blank", 3: "header"}
    assert written[0][1:] == written[1][1:] == (None,) * 6
    assert written[2] == ("Order ID", "Customer", "Product", "Pieces", "Price (EUR)", "Date", "Region")
    [(line_no, rule)] = file.rejects.items()
    assert rule == "no_cached_value"
    assert written[line_no - 1][4].startswith("=ROUND(")
    assert computed[line_no - 1][4] is None
    sound = [row for number, row in enumerate(computed[3:], start=4) if number != line_no]
    assert len(sound) == file.rows
    assert all(isinstance(row[5], datetime) and row[4] > 0 for row in sound)


def test_each_broken_line_is_broken_as_it_is_said_to_be(files: list[SampleFile]) -> None:
    file, width = named(files, "till"), len(HEADER)
    assert [broken_line(file, "ragged", number).count(",") + 1 - width for number in (0, 1)] == [-2, 1]
    assert [broken_line(file, "unclosed_quote", number).count('"') for number in (0, 1)] == [1, 1]
    assert "\0" in broken_line(file, "nul")
    assert file.content.count(b"\0") == 1
    for rule, number, column, text in (
        ("not_a_number", 0, "quantity", "twelve"),
        ("not_a_time", 0, "transaction_date", "2026-02-30"),
        ("unknown_category", 0, "region", "Atlantis"),
        ("out_of_range", 0, "price", "-4.50"),
        ("out_of_range", 1, "price", "1e400"),
        ("missing", 0, "product_name", ""),
    ):
        cells = broken_line(file, rule, number).split(",")
        assert len(cells) == width
        assert cells[HEADER.index(column)].removesuffix(cells[HEADER.index(column)][10:]) == text


def test_the_broken_file_ends_inside_a_quote(files: list[SampleFile]) -> None:
    file = named(files, "till")
    assert file.truth[-1].rule == "unclosed_quote"
    assert not file.content.endswith(b"\n")


def test_the_other_lines_of_the_broken_file_are_sound(files: list[SampleFile]) -> None:
    file = named(files, "till")
    lines, rows = lines_of(file), [line for line in file.truth if line.fate == "row"]
    records = ["\n".join(lines[row.line_no - 1 : row.line_no - 1 + row.line_count]) for row in rows]
    cells = [next(csv.reader(io.StringIO(record), strict=True)) for record in records]
    assert {len(row) for row in cells} == {len(HEADER)}
    assert records == [delimited(row) for row in cells]
    assert [row.line_count for row in rows if row.line_count > 1] == [2]
    assert {"Miller\nand Sons", 'Miller "The Bean", Sons'} <= {row[1] for row in cells}
    assert [lines[number - 1] for number, kind in file.skipped.items() if kind == "blank"] == [""]


def test_the_duplicate_has_the_bytes_of_a_former_file_under_another_name(files: list[SampleFile]) -> None:
    [place] = [place for place, file in enumerate(files) if file.fate == "duplicate"]
    [former] = [file for file in files[:place] if file.content == files[place].content]
    assert former.name != files[place].name
    assert former.fate == "loaded"


def test_the_new_version_differs_from_the_former_in_three_prices(files: list[SampleFile]) -> None:
    old, new = named(files, "sales_20260923"), named(files, "sales_20260923", 1)
    assert old.name == new.name
    before, after = table(old, ","), table(new, ",")
    changed = [(first, second) for first, second in zip(before, after, strict=True) if first != second]
    assert len(changed) == 3
    assert all({**first, "price": ""} == {**second, "price": ""} for first, second in changed)
    numbers = [number for number, row in enumerate(after, start=2) if row not in before]
    assert f"in lines {', '.join(map(str, numbers))}:" in new.note


@pytest.mark.parametrize("last", [date(2026, 1, 3), date(2026, 3, 10), date(2026, 6, 30), date(2026, 12, 31)])
def test_the_late_file_is_about_a_march_long_gone(last: date) -> None:
    [file] = [file for file in sample_files(last) if file.name.endswith("_march.csv")]
    days = {datetime.fromisoformat(row["transaction_date"]).date() for row in table(file, ",")}
    assert {day.month for day in days} == {3}
    assert max(days) < last - timedelta(days=80)
    assert min(days) > last - timedelta(days=480)


def test_what_was_cut_off_cannot_be_read_and_comes_again_whole(files: list[SampleFile]) -> None:
    for start, error in (("sales_20261117", EOFError), ("readings_20261102", ValueError)):
        cut, whole = named(files, start), named(files, start, 1)
        assert (cut.fate, cut.rule, cut.name) == ("rejected", "truncated", whole.name)
        assert whole.content.startswith(cut.content)
        with pytest.raises(error):
            (gzip.decompress if start.startswith("sales") else json.loads)(cut.content)
        assert counted(whole) == whole.lines > 0


def test_the_empty_file_is_empty(files: list[SampleFile]) -> None:
    [empty] = [file for file in files if not file.content]
    assert (empty.fate, empty.rows, empty.lines) == ("loaded", 0, 0)


def test_sales_are_told_for_every_one_of_sixty_days(files: list[SampleFile]) -> None:
    loaded = [file for file in of(files, SALES) if file.fate == "loaded" and file.content]
    told = [text_of(file) for file in loaded if not file.name.endswith(".xlsx")]
    told += [str(row[5]) for row in sheet_of(named(files, "sales_20261028"))]
    text = "\n".join(told)
    days = [LAST - timedelta(days=before) for before in range(60)]
    assert [day for day in days if str(day) not in text and f"{day:%d.%m.%Y}" not in text] == []


def test_every_meter_is_read_every_hour_once(files: list[SampleFile]) -> None:
    stamps = Counter(
        (reading["meter_id"], datetime.fromisoformat(reading["at"]).astimezone(UTC))
        for file in of(files, METER_DATASET)
        if file.fate == "loaded"
        for reading in readings_of(file)
        if "at" in reading
    )
    assert set(stamps.values()) == {1}
    assert len(stamps) == len(METERS) * 24 * 60 - 1
    assert max(at for _, at in stamps) == datetime(2026, 11, 21, 23, tzinfo=UTC)


def test_offsets_are_mixed_within_one_file(files: list[SampleFile]) -> None:
    def offsets(file: SampleFile) -> set[str]:
        return {reading["at"][19:] for reading in readings_of(file)}

    assert offsets(named(files, "readings_20260923")) == {"+02:00", "+05:30"}
    assert offsets(named(files, "readings_20261003")) == {"+02:00", "+05:30", "Z"}
    assert offsets(named(files, "readings_20261023")) == {"+01:00", "+02:00", "+05:30"}


def test_readings_are_broken_as_they_are_said_to_be(files: list[SampleFile]) -> None:
    file = named(files, "readings_20261013")
    broken = {rule: readings_of(file)[number - 1] for number, rule in file.rejects.items()}
    assert broken["out_of_range"]["energy_kwh"] < 0
    assert "at" not in broken["missing"]
    sound = [reading for number, reading in enumerate(readings_of(file), start=1) if number not in file.rejects]
    assert [reading["energy_kwh"] for reading in sound].count("n/a") == 1
    assert all(reading["energy_kwh"] == "n/a" or reading["energy_kwh"] > 0 for reading in sound)
    assert all(reading["at"] for reading in sound)


def test_a_new_key_appears_in_the_middle_of_a_file_and_stays(files: list[SampleFile]) -> None:
    has_it = {
        file.name: ["voltage_v" in reading for reading in readings_of(file)]
        for file in of(files, METER_DATASET)
        if file.rows
    }
    changing = has_it["readings_20261023.json"]
    assert changing == sorted(changing)
    assert changing.count(True) == len(changing) // 2
    assert not any(any(found) for name, found in has_it.items() if name < "readings_20261023")
    assert all(all(found) for name, found in has_it.items() if name > "readings_20261023.json")


def test_meters_have_a_daily_cycle(files: list[SampleFile]) -> None:
    of_one = [reading for reading in readings_of(named(files, "readings_20260923")) if reading["meter_id"] == "P-001"]
    by_hour = {
        hour: sum(reading["energy_kwh"] for reading in of_one if int(reading["at"][11:13]) == hour) for hour in (3, 13)
    }
    assert by_hour[13] > 1.5 * by_hour[3]


def test_nobody_declared_the_visitors_and_their_second_file_has_a_column_more(files: list[SampleFile]) -> None:
    assert VISITORS not in file_datasets()
    first, second = of(files, VISITORS)
    before, after = table(first, "\t"), table(second, "\t")
    assert list(before[0]) == ["date", "museum", "visitors", "temperature C", "note"]
    assert list(after[0]) == [*before[0], "guided tours"]
    assert len({row["date"] for row in before + after}) == 60
    assert {row["visitors"] for row in before if row["note"] == "closed"} == {"0"}


def test_files_are_dropped_one_at_a_time_in_the_folders_of_their_datasets(
    files: list[SampleFile], tmp_path: Path
) -> None:
    paths = drop(files, tmp_path)
    assert list(tmp_path.iterdir()) == []
    for file, path in zip(files, paths, strict=True):
        assert path == tmp_path / file.dataset / file.name
        assert path.read_bytes() == file.content
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len({(f.dataset, f.name) for f in files})


def test_a_file_is_written_under_a_name_nobody_takes_and_then_renamed(
    files: list[SampleFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[tuple[str, str]] = []
    replace = Path.replace

    def watched(part: Path, target: Path) -> Path:
        assert part.read_bytes() == files[0].content
        assert not target.exists()
        renamed.append((part.name, target.name))
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", watched)
    next(drop(files, tmp_path))
    [(part, target)] = renamed
    assert target == files[0].name
    assert is_temporary(part)


def test_a_file_in_the_place_of_another_is_a_second_younger(files: list[SampleFile], tmp_path: Path) -> None:
    old, new = named(files, "sales_20260923"), named(files, "sales_20260923", 1)
    paths = drop([old, new, old], tmp_path)
    times = [next(paths).stat().st_mtime for _ in range(3)]
    assert [int(later) - int(earlier) >= 1 for earlier, later in pairwise(times)] == [True, True]


def test_nothing_is_left_where_a_file_cannot_take_its_place(files: list[SampleFile], tmp_path: Path) -> None:
    (tmp_path / files[0].dataset / files[0].name).mkdir(parents=True)
    with pytest.raises(OSError):
        next(drop(files, tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@given(cells=st.lists(st.text(st.characters(blacklist_characters="\r\0", codec="utf-8")), min_size=2))
def test_a_written_record_reads_as_the_cells_it_was_made_of(cells: list[str]) -> None:
    lines = WrittenLines()
    lines.row(delimited(cells, ";"))
    read = list(csv.reader(io.StringIO(lines.encoded().decode(), newline=""), delimiter=";", strict=True))
    assert read == [cells]
    assert lines.truth[0].line_count == lines.encoded().count(b"\n")
