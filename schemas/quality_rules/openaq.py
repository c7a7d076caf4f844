"""Rules of the OpenAQ tables.

Staging holds rows as received, sentinels and all, and cleaning deals with them: what is wrong with single rows there is
a warning. A series that breaks what cleaning promises is an error, for features would be made of it.

Belongs here: what has to hold. Does not belong here: ranges of measures (`schemas/datasets.py`), cleaning.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from schemas.datasets import OPENAQ, Measure
from schemas.features import POLLUTANTS
from schemas.rules import (
    Categorical,
    Combination,
    Completeness,
    Distribution,
    Forbidden,
    Freshness,
    NotInFuture,
    Ordered,
    RangeBy,
    Repeats,
    Rule,
    Severity,
    SumOf,
    Uniqueness,
)
from schemas.timeseries import Flag

WEEK = timedelta(days=7)
SILENT_AFTER = timedelta(hours=6)
"""Stations report by the hour, and some are hours late."""
PARAMETERS = tuple(OPENAQ.measures)
MEASURED = (("parameter", PARAMETERS),)
"""Rows of parameters that are declared; the others are filtered out by cleaning."""

MASS_UGM3 = {"µg/m³": 1.0, "μg/m³": 1.0, "ug/m3": 1.0, "µg/m3": 1.0, "mg/m³": 1000.0, "mg/m3": 1000.0}
"""Units of mass concentration as received, in µg/m³; the first two differ in the letter (micro sign, mu)."""
VOLUME_PPB = {"ppm": 1000.0, "ppb": 1.0}
"""Units of mixing ratio as received, in ppb."""

GAS_CONSTANT = 8.314462618
"""J/(mol K), CODATA 2018."""


def _ugm3_per_unit(measure: Measure) -> Iterator[tuple[str, float]]:
    """Every unit a value of the measure comes in; a mixing ratio becomes a mass by ppb · M / Vm, with the molar volume
    Vm = R · T / P of an ideal gas at the dataset's reference conditions (24.465 L/mol at 25 °C and 1013.25 hPa)."""
    yield from MASS_UGM3.items()
    if measure.molar_mass is not None:
        litres_per_mole = GAS_CONSTANT * (OPENAQ.temperature_c + 273.15) / (OPENAQ.pressure_hpa * 100) * 1000
        for unit, ppb in VOLUME_PPB.items():
            yield unit, ppb * measure.molar_mass / litres_per_mole


def _as_received(
    bounds: Mapping[str, tuple[float, float]],
) -> tuple[tuple[tuple[object, ...], tuple[float, float]], ...]:
    """Bounds in µg/m³ by parameter, as bounds by parameter and unit received."""
    return tuple(
        ((name, unit), (low / factor, high / factor))
        for name, (low, high) in bounds.items()
        for unit, factor in _ugm3_per_unit(OPENAQ.measures[name])
    )


PLAUSIBLE = {name: (measure.noise_floor, measure.valid[1]) for name, measure in OPENAQ.measures.items()}
"""Small negatives are an instrument's noise around zero."""
POSSIBLE = {name: measure.possible for name, measure in OPENAQ.measures.items()}
NEGATIVE_SENTINELS = tuple(sorted(value for value in OPENAQ.sentinels if value < 0))
"""Positive ones may be measurements: outside the plausible range they are told by that."""

STAGING: tuple[Rule, ...] = (
    Completeness(
        name="values_are_there",
        columns=("value",),
        severity=Severity.WARNING,
        tolerated_pct=10,
        least_rows=24,
        description="measurements have a value",
    ),
    Completeness(
        name="not_all_values_are_missing",
        columns=("value",),
        tolerated_pct=90,
        least_rows=24,
        description="a day of which nine values in ten are missing is a failed delivery",
    ),
    Combination(
        name="unit_fits_parameter",
        columns=("parameter", "units"),
        values=tuple((name, unit) for name, one in OPENAQ.measures.items() for unit, _ in _ugm3_per_unit(one)),
        when=MEASURED,
        severity=Severity.WARNING,
        description="a unit the parameter can be converted from: mixing ratios of gases only",
    ),
    Forbidden(
        name="no_sentinels",
        columns=("value",),
        values=NEGATIVE_SENTINELS,
        severity=Severity.WARNING,
        description="values that stand for no measurement",
    ),
    Forbidden(
        name="no_scaled_sentinels",
        columns=("value",),
        values=tuple(value / scale for value in NEGATIVE_SENTINELS for scale in (1000, 100)),
        when=(("units", ("ppm",)),),
        severity=Severity.WARNING,
        description="sentinels in ppb or pphm that were converted to ppm like measurements",
    ),
    RangeBy(
        name="values_are_plausible",
        columns=("value",),
        by=("parameter", "units"),
        bounds=_as_received(PLAUSIBLE),
        severity=Severity.WARNING,
        description="from the instrument's noise floor to the highest plausible value, in the unit received",
    ),
    RangeBy(
        name="values_are_possible",
        columns=("value",),
        by=("parameter", "units"),
        bounds=_as_received(POSSIBLE),
        severity=Severity.WARNING,
        description="what air can hold at all, in the unit received; cleaning puts the rest aside",
    ),
    Uniqueness(
        name="one_value_per_sensor_and_time",
        columns=("sensors_id", "datetime_utc"),
        severity=Severity.WARNING,
        description="no measurement came twice",
    ),
    Combination(
        name="not_at_null_island",
        columns=("latitude", "longitude"),
        values=((0.0, 0.0),),
        is_allowed=False,
        severity=Severity.WARNING,
        description="0° north, 0° east is the sea, and what unknown coordinates become",
    ),
    Repeats(
        name="instruments_are_not_stuck",
        columns=("value",),
        by=("sensors_id",),
        ordered_by=("datetime_utc",),
        at_most=max(measure.stuck_after for measure in OPENAQ.measures.values()),
        severity=Severity.WARNING,
        description="no sensor shows the same value for hours",
    ),
    Distribution(
        name="scale_is_as_before",
        columns=("value",),
        by=("sensors_id", "units"),
        look_back=WEEK,
        max_scale=100.0,
        least_rows=12,
        severity=Severity.WARNING,
        description="a sensor whose median is a hundredth or a hundredfold changed its unit and not its label",
    ),
    Distribution(
        name="values_are_distributed_as_before",
        columns=("value",),
        by=("parameter", "units"),
        look_back=WEEK,
        max_ks=0.5,
        least_rows=100,
        severity=Severity.INFO,
        description="per parameter, against the week before",
    ),
    Freshness(
        name="locations_are_not_silent",
        columns=("datetime_utc",),
        by=("location_id",),
        max_age=SILENT_AFTER,
        severity=Severity.WARNING,
        description="every location that sent anything sent to the end",
    ),
    NotInFuture(
        name="stamps_are_past",
        columns=("datetime_utc",),
        tolerance=timedelta(hours=1),
        severity=Severity.WARNING,
        description="nothing is measured before it happens",
    ),
)

SERIES: tuple[Rule, ...] = (
    Combination(
        name="unit_is_canonical",
        columns=("parameter", "unit"),
        values=tuple((name, measure.unit) for name, measure in OPENAQ.measures.items()),
        description="every value is in the one unit of its parameter",
    ),
    Completeness(
        name="valid_hours_have_a_value", columns=("value",), when=(("is_valid", (True,)),), description="as it says"
    ),
    Completeness(
        name="imputed_hours_have_a_value", columns=("value",), when=(("is_imputed", (True,)),), description="as it says"
    ),
    RangeBy(
        name="valid_values_are_plausible",
        columns=("value",),
        by=("parameter",),
        bounds=tuple(((name,), bounds) for name, bounds in PLAUSIBLE.items()),
        unit="µg/m³",
        when=(("is_valid", (True,)),),
        description="what features may use lies between noise floor and highest plausible value",
    ),
    Categorical(
        name="flags_are_known",
        columns=("flags",),
        allowed=("", *(flag.value for flag in Flag)),
        separator="|",
        description="flags are those that cleaning sets",
    ),
    Completeness(
        name="values_are_there",
        columns=("value",),
        severity=Severity.WARNING,
        tolerated_pct=20,
        least_rows=24,
        description="hours of the grid have a value",
    ),
    Freshness(
        name="sensors_are_not_silent",
        columns=("datetime_utc",),
        by=("sensors_id",),
        max_age=SILENT_AFTER,
        severity=Severity.WARNING,
        description="every sensor that has hours has them to the end",
    ),
    Distribution(
        name="values_are_distributed_as_before",
        columns=("value",),
        by=("parameter",),
        look_back=WEEK,
        max_ks=0.5,
        least_rows=100,
        when=(("is_valid", (True,)),),
        unit="µg/m³",
        severity=Severity.INFO,
        description="per parameter, against the week before",
    ),
)

FEATURES: tuple[Rule, ...] = (
    *(
        Ordered(
            name=f"{name}_24h_in_order",
            columns=tuple(f"{name}_{statistic}_24h_ugm3" for statistic in ("min", "mean", "max")),
            tolerance=1e-6,
            unit="µg/m³",
            description="a mean lies between minimum and maximum",
        )
        for name in POLLUTANTS
    ),
    Freshness(
        name="features_are_fresh",
        columns=("datetime_utc",),
        max_age=SILENT_AFTER,
        severity=Severity.WARNING,
        description="the layer reaches to the end",
    ),
)

REPORT: tuple[Rule, ...] = (
    SumOf(
        name="ledger_adds_up",
        columns=("rows_read", "rows_loaded", "rows_duplicate", "rows_quarantined", "rows_filtered"),
        when=(("is_ledger_closed", (True,)),),
        severity=Severity.WARNING,
        description="read = loaded + duplicate + quarantined + filtered",
    ),
    Ordered(
        name="no_more_hours_than_expected",
        columns=("hours_measured", "hours_expected"),
        severity=Severity.WARNING,
        unit="h",
        description="hours measured are at most those expected",
    ),
)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "staging.openaq_measurements": STAGING,
    "timeseries.air_quality": SERIES,
    "features.air_quality_hourly": FEATURES,
    "quality.air_quality_report": REPORT,
}
