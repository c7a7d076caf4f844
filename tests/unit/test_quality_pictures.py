"""Pictures and tables of quality: they decode, show what they claim, and are the same for the same input."""

import base64
import io
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from assets_pkg.drawing import WIDTH_PX, as_markdown
from assets_pkg.quality import pictures
from assets_pkg.quality.pictures import day_picture, report_table, score_picture
from assets_pkg.quality.transforms import daily_report
from schemas.base import conform, empty
from schemas.quality import AirQualityReport
from schemas.timeseries import AirQuality, Flag
from schemas.window import Window

DAY = date(2024, 3, 10)
ONE = Window.of_days(DAY, DAY)
LIMIT_BYTES = 60_000
ROOT = Path(__file__).resolve().parents[2]
NO_ACCOUNTS = pd.DataFrame(
    columns=["table_name", "day", "location_id", "read", "loaded", "duplicate", "quarantined", "filtered", "known_at"]
)


def series_of(locations: int = 3, parameters: tuple[str, ...] = ("pm25", "o3"), window: Window = ONE) -> pd.DataFrame:
    """A daily cycle with noise from a fixed seed, per location and parameter."""
    random = np.random.default_rng(7)
    stamps = pd.date_range(window.start, window.end, freq="h", inclusive="right", unit="us")
    frames = [
        pd.DataFrame(
            {
                "location_id": location,
                "sensors_id": 100 * location + n,
                "parameter": parameter,
                "datetime_utc": stamps,
                "value": 40 + 20 * np.sin(stamps.hour / 24 * 2 * np.pi) + 3 * random.standard_normal(len(stamps)),
                "known_at": stamps,
            }
        )
        for location in range(1, locations + 1)
        for n, parameter in enumerate(parameters)
    ]
    good = {"unit": "µg/m³", "flags": "", "is_valid": True, "is_imputed": False, "samples": 1, "coverage_pct": 100.0}
    return conform(pd.concat(frames, ignore_index=True).assign(**good), AirQuality)


def report_of(series: pd.DataFrame, window: Window = ONE) -> pd.DataFrame:
    return daily_report(series, NO_ACCOUNTS, window=window)


def pixels(png: bytes) -> np.ndarray:
    """The picture as RGB; raises if it does not decode."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.width == WIDTH_PX
        return np.asarray(image.convert("RGB")).astype(int)


def drawn_share(png: bytes) -> float:
    """How much of the picture is not white."""
    return float((pixels(png).min(axis=2) < 250).mean())


def test_a_day_is_drawn_on_white_and_small() -> None:
    series = series_of(8, ("pm25", "pm10", "o3", "no2", "so2", "co"))
    png = day_picture(series, report_of(series), DAY)
    assert len(png) < LIMIT_BYTES
    assert 0.02 < drawn_share(png) < 0.5
    assert (pixels(png)[0, 0] > 250).all()


def test_the_same_input_gives_the_same_bytes_without_metadata() -> None:
    series = series_of()
    report = report_of(series)
    png = day_picture(series, report, DAY)
    assert png == day_picture(series.sample(frac=1, random_state=1), report, DAY)
    assert score_picture(report) == score_picture(report.sample(frac=1, random_state=1))
    with Image.open(io.BytesIO(png)) as image:
        assert not getattr(image, "text", {})


@pytest.mark.parametrize("parameters", [1, 2, 6])
def test_each_parameter_adds_a_panel(parameters: int) -> None:
    series = series_of(1, tuple(f"gas{n}" for n in range(parameters)))
    one = series_of(1, ("gas0",))
    heights = [pixels(day_picture(each, report_of(each), DAY)).shape[0] for each in (one, series)]
    assert heights[1] - heights[0] == pytest.approx(125 * (parameters - 1), abs=2)


def test_parameters_beyond_the_panels_are_not_drawn() -> None:
    series = series_of(1, tuple(f"gas{n}" for n in range(9)))
    six = series[series["parameter"] < "gas6"]
    heights = [pixels(day_picture(each, report_of(each), DAY)).shape[0] for each in (six, series)]
    assert heights[0] == heights[1]


@pytest.mark.parametrize("kind", ["sentinel", "negative", "stuck", "spike", "out_of_range", "imputed"])
def test_each_kind_of_flag_is_marked(kind: str) -> None:
    series = series_of(1, ("pm25",))
    report = report_of(series)
    marked = series.copy()
    marked.loc[9:11, "flags"] = kind
    marked.loc[9:11, "is_imputed"] = kind == "imputed"
    plain, other = pixels(day_picture(series, report, DAY)), pixels(day_picture(marked, report, DAY))
    changed = np.abs(plain[70:200] - other[70:200]).max(axis=2) > 60
    at_the_marks = slice(360, 445)  # from before 10:00 to after 12:00
    assert changed[:, at_the_marks].sum() > 40
    assert changed.sum() - changed[:, at_the_marks].sum() < 20


def test_a_spike_does_not_set_the_scale() -> None:
    series = series_of(2, ("pm25",))
    low = series["location_id"] == 2
    series.loc[low, "value"] = 2.0
    spiky = series.copy()
    spiky.loc[5, ["value", "flags", "is_valid"]] = [9000.0, "spike", False]
    report = report_of(series)
    plain, other = pixels(day_picture(series, report, DAY)), pixels(day_picture(spiky, report, DAY))
    right = slice(450, 780)  # far from the spike, where nothing may move
    assert np.abs(plain[80:195, right] - other[80:195, right]).mean() < 1


def test_a_day_without_hours_says_so() -> None:
    report = report_of(series_of())
    assert drawn_share(day_picture(empty(AirQuality), report, DAY)) > 0.003
    assert drawn_share(day_picture(empty(AirQuality), empty(AirQualityReport), DAY)) > 0.003
    assert drawn_share(score_picture(empty(AirQualityReport))) > 0.003


def test_only_the_hours_of_the_day_are_drawn() -> None:
    series = series_of(window=Window.of_days(DAY - timedelta(days=1), DAY + timedelta(days=1)))
    report = report_of(series)
    the_day = series[ONE.holds(series["datetime_utc"], "right")]
    assert day_picture(series, report, DAY) == day_picture(the_day, report, DAY)


@settings(max_examples=12, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf, -np.inf, 0.0])), min_size=24, max_size=24
    ),
    flags=st.lists(st.sampled_from(["", "spike", "sentinel|stuck", "negative", "imputed"]), min_size=24, max_size=24),
    valid=st.booleans(),
    kept=st.sets(st.integers(0, 23)),
    name=st.text(max_size=30),
)
@example(values=[1.0] * 24, flags=[""] * 24, valid=True, kept=set(range(24)), name="$x_{$")
def test_any_values_and_names_can_be_drawn(
    values: list[float], flags: list[str], valid: bool, kept: set[int], name: str
) -> None:
    series = series_of(1, ("pm25",)).assign(value=values, flags=flags, is_valid=valid, parameter=name, unit=name)
    series["is_imputed"] = series["flags"] == Flag.IMPUTED.value
    series = conform(series.iloc[sorted(kept)], AirQuality)
    assert drawn_share(day_picture(series, report_of(series), DAY)) > 0.003


@pytest.mark.parametrize(("locations", "days"), [(1, 1), (3, 5), (20, 31), (70, 400)])
def test_scores_of_any_window_fit_in_a_picture(locations: int, days: int) -> None:
    dates = pd.date_range(ONE.start, periods=days, freq="D", unit="us")
    grid = pd.MultiIndex.from_product([range(1, locations + 1), dates], names=["location_id", "day"])
    shares = ["score_pct", "completeness_pct", "validity_pct", "uniqueness_pct"]
    random = np.random.default_rng(3)
    scores = pd.DataFrame(random.uniform(0, 100, (len(grid), 4)), index=grid, columns=shares).reset_index()
    scores.loc[::7, "validity_pct"] = np.nan
    png = score_picture(scores.drop(index=[len(scores) // 2]) if len(scores) > 1 else scores)
    assert len(png) < LIMIT_BYTES
    assert drawn_share(png) > 0.1


def test_one_bad_day_of_a_long_window_is_seen() -> None:
    dates = pd.date_range(ONE.start, periods=400, freq="D", unit="us")
    good = pd.DataFrame({"location_id": 1, "day": dates} | dict.fromkeys(pictures._SHARES, 100.0))

    def dark_pixels(report: pd.DataFrame) -> int:
        return int((pixels(score_picture(report))[90:130, 84:425].sum(axis=2) < 130).sum())

    unspoilt = dark_pixels(good)
    for bad_day in (0, 123, 399):
        bad = good.copy()
        bad.loc[bad_day, "score_pct"] = 0.0
        assert dark_pixels(bad) > unspoilt + 30


def test_markdown_carries_the_picture_and_a_harmless_name() -> None:
    text = as_markdown(b"\x89PNG", "a ](http://x) <b>|\nc")
    alt, data = text.removeprefix("![").removesuffix(")").rsplit("](data:image/png;base64,", 1)
    assert base64.b64decode(data) == b"\x89PNG"
    assert alt == r"a \](http://x) \<b\>\| c"


def test_the_table_has_the_worst_location_first_and_says_what_is_wrong() -> None:
    series = series_of(2, ("pm25",))
    worse = series["location_id"] == 2
    series.loc[worse & (series.index % 2 == 0), ["value", "flags", "is_valid"]] = [np.nan, "sentinel", False]
    lines = report_table(report_of(series)).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| location | score | completeness | validity | duplicates | quarantined | flagged")
    assert lines[2] == "| 2 | 75 % | 50 % | 100 % | 0 | 0 | sentinel 12 | NOT closed |"
    assert lines[3].startswith("| 1 | 100 % |")


def test_a_long_table_is_cut_and_says_how_much_is_missing() -> None:
    lines = report_table(report_of(series_of(pictures.MAX_TABLE_ROWS + 7, ("pm25",)))).splitlines()
    assert len(lines) == pictures.MAX_TABLE_ROWS + 4
    assert lines[-1] == "and 7 more, none with a lower score"


def test_an_unknown_share_is_not_a_number_made_up() -> None:
    account = {"table_name": "staging.openaq_measurements", "day": DAY, "location_id": 5, "known_at": ONE.end}
    counts = dict.fromkeys(["read", "loaded", "duplicate", "quarantined", "filtered"], 0)
    report = daily_report(empty(AirQuality), pd.DataFrame([account | counts]), window=ONE)
    assert report_table(report).splitlines()[2] == "| 5 | 0 % | n/a | n/a | 0 | 0 |  | closed |"


def test_matplotlib_is_imported_late_and_pyplot_never() -> None:
    code = """
import sys
from assets_pkg.quality.pictures import score_picture
from schemas.base import empty
from schemas.quality import AirQualityReport
assert "matplotlib" not in sys.modules, "imported too early"
score_picture(empty(AirQualityReport))
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules, "pyplot"
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
