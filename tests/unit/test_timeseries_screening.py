"""What becomes of a raw row."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from assets_pkg.timeseries.flags import has
from assets_pkg.timeseries.screening import OUTCOMES, RULES, screen
from schemas.datasets import OPENAQ
from schemas.timeseries import Flag
from tests.builders import FIRST_HOUR, KNOWN_AT, staging_rows, together


def outcomes(rows: pd.DataFrame) -> list[str]:
    """Outcome or rule per row, in the order given."""
    screened = screen(rows, OPENAQ).sort_values("position")
    return [
        RULES[rule] if rule >= 0 else OUTCOMES[outcome]
        for outcome, rule in zip(screened["outcome"], screened["rule"], strict=True)
    ]


def flags_of(value: float, **columns: object) -> set[str]:
    bits = screen(staging_rows([value], **columns), OPENAQ)["bits"].to_numpy()
    return {flag for flag in Flag if has(bits, flag)[0]}


def test_of_two_versions_the_newest_known_wins_wherever_it_stands() -> None:
    old = staging_rows([10.0], known_at=KNOWN_AT, line_no=9)
    new = staging_rows([11.0], known_at=KNOWN_AT + timedelta(hours=1), line_no=1)
    assert outcomes(together(old, new)) == ["duplicate", "loaded"]
    assert outcomes(together(new, old)) == ["loaded", "duplicate"]


def test_among_equally_new_versions_the_last_in_its_source_wins() -> None:
    rows = staging_rows([1.0, 2.0, 3.0], datetime_utc=FIRST_HOUR, source_id=[2, 1, 2], line_no=[4, 9, 5])
    assert outcomes(rows) == ["duplicate", "duplicate", "loaded"]


@pytest.mark.parametrize("other", [{"sensors_id": 12}, {"location_id": 2}, {"parameter": "pm10"}])
def test_rows_that_differ_in_sensor_location_or_parameter_are_no_duplicates(other: dict[str, object]) -> None:
    assert outcomes(together(staging_rows([1.0]), staging_rows([1.0], first_line=2, **other))) == ["loaded", "loaded"]


def test_a_newer_version_supersedes_an_older_one_even_if_either_is_impossible() -> None:
    old = staging_rows([10.0])
    new = staging_rows([-400.0], known_at=KNOWN_AT + timedelta(hours=1))
    assert outcomes(together(old, new)) == ["duplicate", "impossible"]
    old, new = new.assign(known_at=old["known_at"]), old.assign(known_at=new["known_at"])
    assert outcomes(together(old, new)) == ["duplicate", "loaded"]


def test_undeclared_parameters_are_filtered_and_nothing_else() -> None:
    rows = staging_rows([50.0, -999.0], parameter="relativehumidity", units="%", datetime_utc=FIRST_HOUR)
    assert outcomes(rows) == ["filtered", "filtered"]


def test_unknown_units_are_put_aside_even_without_a_value() -> None:
    assert outcomes(staging_rows([1.0, None], units="furlong")) == ["unit", "unit"]
    assert outcomes(staging_rows([1.0], units="ppm")) == ["unit"]  # dust has no volume


def test_a_stamp_after_it_became_known_is_put_aside_beyond_the_tolerance() -> None:
    ahead = [FIRST_HOUR - timedelta(hours=2), FIRST_HOUR - timedelta(hours=2, microseconds=1)]
    assert outcomes(staging_rows([1.0, 1.0], step=timedelta(0), sensors_id=[1, 2], known_at=ahead)) == [
        "loaded",
        "future",
    ]


def test_periods_longer_than_an_hour_are_put_aside() -> None:
    assert outcomes(staging_rows([1.0] * 4, interval_s=[900, 3600, 3601, 86_400])) == [
        "loaded",
        "loaded",
        "interval",
        "interval",
    ]


def test_the_possible_range_includes_its_ends() -> None:
    low, high = OPENAQ.measures["pm25"].possible
    rows = staging_rows([low, high, low - 0.01, high + 0.01])
    assert outcomes(rows) == ["loaded", "loaded", "impossible", "impossible"]


def test_the_possible_range_is_in_the_canonical_unit() -> None:
    assert outcomes(staging_rows([11.0], units="mg/m³")) == ["impossible"]
    assert outcomes(staging_rows([0.011], units="mg/m³")) == ["loaded"]


def test_a_sentinel_is_loaded_as_missing_not_put_aside_as_impossible() -> None:
    rows = staging_rows([-999.0, -9999.0])
    assert outcomes(rows) == ["loaded", "loaded"]
    screened = screen(rows, OPENAQ)
    assert screened["value"].isna().all()
    assert has(screened["bits"].to_numpy(), Flag.SENTINEL).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_loaded_as_missing_without_a_flag(value: float) -> None:
    assert outcomes(staging_rows([value])) == ["loaded"]
    assert flags_of(value) == set()
    assert screen(staging_rows([value]), OPENAQ)["value"].isna().all()


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (0.0, set()),
        (-0.1, {Flag.NEGATIVE}),
        (-15.0, {Flag.NEGATIVE}),
        (-15.1, {Flag.OUT_OF_RANGE}),
        (1000.0, set()),
        (1000.1, {Flag.OUT_OF_RANGE}),
    ],
)
def test_noise_is_negative_and_the_rest_outside_is_out_of_range(value: float, flags: set[Flag]) -> None:
    assert flags_of(value) == flags


def test_only_a_changed_value_is_converted() -> None:
    assert flags_of(12.0, units="μg/m3") == set()
    assert flags_of(0.012, units="mg/m³") == {Flag.CONVERTED}
    assert flags_of(0.03, units="ppm", parameter="o3") == {Flag.CONVERTED}
    assert flags_of(-0.999, units="ppm", parameter="o3") == {Flag.SENTINEL}
    assert screen(staging_rows([30.0], units="ppb", parameter="o3"), OPENAQ)["value"][0] == pytest.approx(
        58.856, rel=1e-4
    )
