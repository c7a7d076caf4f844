"""Keeping the online store right: what a run could not serve is served as soon as that may work again.

Belongs here: the sensor and its job. Does not belong here: what is written, and when a failing view is due
(`resources/feast/`).
"""

from datetime import UTC, datetime

import dagster as dg

from assets_pkg.runs import places, under_way
from resources.errors import CircuitOpen, TidemarkError, TransientError
from resources.feast.resource import FeastResource
from resources.feast.views import due
from schemas.tables import SERVED

SERVE_EVERY_S = 15
MOST_TOLD = 3


@dg.op
def serve_pending(context: dg.OpExecutionContext, feast: FeastResource) -> None:
    """Writes the newest row of every key that is marked and due to the online store: exactly what a run left behind
    that was killed, or that found the store away. A view that fails does not keep the others."""
    failures = {}
    for state in due(feast.states(), datetime.now(UTC)):
        spec = SERVED.get(state.view)
        if spec is None:
            context.log.info(f"{state.view} is served no more: its {state.pending} mark(s) are left")
            continue
        try:
            pushed = feast.push(spec)
        except CircuitOpen as error:
            context.log.warning(f"{state.view}: {error}")
            return
        except TidemarkError as error:
            failures[state.view] = error
            context.log.warning(f"{state.view}: {error}")
        else:
            context.log.info(f"{state.view}: {pushed.written} key(s) written, {pushed.skipped} were right already")
    if failures:
        told = "; ".join(f"{view}: {error}" for view, error in list(failures.items())[:MOST_TOLD])
        # The sensor asks again when the views are due: a retry here would be one more attempt than that.
        raise dg.Failure(f"{len(failures)} view(s) could not be served: {told}", allow_retries=False)


@dg.job(description=serve_pending.__doc__, executor_def=dg.in_process_executor)
def serve_pending_features() -> None:
    """See `serve_pending`."""
    serve_pending()


def build_serving_sensor() -> dg.SensorDefinition:
    """The sensor that has marks served which nobody else serves."""

    @dg.sensor(
        name="feature_serving",
        job=serve_pending_features,
        minimum_interval_seconds=SERVE_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the online write of keys that a killed or failed run left behind, when it is due.",
    )
    def feature_serving(context: dg.SensorEvaluationContext, feast: FeastResource) -> dg.RunRequest | dg.SkipReason:
        now = datetime.now(UTC)
        runs = under_way(context.instance)
        try:
            told = feast.left_alone()
            if told is None:
                feast.try_again()
            states = feast.states()
        except TransientError as error:
            return dg.SkipReason(f"the catalog or the online store does not answer: {error}")
        if told:
            return dg.SkipReason(f"{sum(one.pending for one in states)} key(s) wait to be served: {told}")
        waiting = [one for one in due(states, now) if one.view in SERVED]
        if not waiting:
            pending = sum(one.pending for one in states)
            return dg.SkipReason(f"{pending} key(s) wait for their next attempt" if pending else "nothing is pending")
        if any(run.job_name == serve_pending_features.name for run in runs) or not places(runs):
            return dg.SkipReason(f"{', '.join(one.view for one in waiting)}: runs are under way")
        return dg.RunRequest(run_key=None)

    return feature_serving
