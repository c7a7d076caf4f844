"""Runs on an MLflow server: parameters and metrics of each that ended.

MLflow is an extra, and is loaded when the first run is logged: it takes seconds. It sends no statistics of its use to
its makers from here.

Belongs here: what a summary is called there, and sending it once. Does not belong here: the summary
(`resources/catalog/run_summaries.py`).
"""

import logging
import warnings
from importlib.util import find_spec
from typing import Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from resources.errors import ConfigurationError, SourceUnavailable
from resources.logs.redaction import redacted

RUN_TAG = "dagster.run_id"
TIMEOUT_S = 10
"""Of a request; MLflow's own limits, five minutes for a server that is away, are longer than a tick may take."""

EXTRA = "pip install 'tidemark[mlflow]'"


class TrackingResource(dg.ConfigurableResource["TrackingResource"]):
    """Where summaries of runs are logged; without a URL nowhere."""

    url: str = Field(default="", repr=False, description="tracking server or database, as MLflow writes them")
    experiment: str = Field(default="tidemark", description="the experiment that holds the runs")

    def require_usable(self) -> None:
        """
        Raises:
            ConfigurationError: MLflow is not installed.
        """
        if find_spec("mlflow") is None:
            raise ConfigurationError(f"TIDEMARK_MLFLOW_URL is set, and MLflow is not installed: {EXTRA}, or unset it")

    def log(self, summary: sa.Row[Any]) -> None:
        """Logs the summary of a run (a row of `catalog.run_summaries`), unless the server has it.

        Raises:
            ConfigurationError: MLflow is not installed, or refuses the URL or what is logged.
            SourceUnavailable: the server does not answer.
        """
        self.require_usable()
        from mlflow.exceptions import MlflowException

        try:
            with warnings.catch_warnings():
                # MLflow's own use of SQLAlchemy, where the URL leads to a database.
                warnings.filterwarnings("ignore", category=sa.exc.SADeprecationWarning)
                self._send(summary)
        except MlflowException as error:
            told = redacted(" ".join(str(error).split()), {self.url})
            if error.error_code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}:
                raise SourceUnavailable(f"the MLflow server does not answer: {told}") from None
            raise ConfigurationError(f"MLflow refuses what TIDEMARK_MLFLOW_URL leads to: {told}") from None

    def _send(self, summary: sa.Row[Any]) -> None:
        import mlflow.telemetry.client as telemetry
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

        for limit, most in ((MLFLOW_HTTP_REQUEST_MAX_RETRIES, 1), (MLFLOW_HTTP_REQUEST_TIMEOUT, TIMEOUT_S)):
            if not limit.is_set():  # type: ignore[no-untyped-call]
                limit.set(most)  # type: ignore[no-untyped-call]
        telemetry._set_telemetry_client(None)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=self.url)
        known = client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else client.create_experiment(self.experiment)
        ended_at = int(summary.ended_at.timestamp() * 1000)
        same = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{summary.run_id}'", max_results=1)
        if same and same[0].info.status != "RUNNING":
            return
        run = (
            same[0]
            if same
            else client.create_run(
                experiment,
                start_time=int(summary.started_at.timestamp() * 1000),
                tags={RUN_TAG: summary.run_id},
                run_name=f"{summary.job} {summary.run_id[:8]}",
            )
        )
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, value, ended_at, 0) for name, value in metrics_of(summary).items()],
            params=[Param(name, value) for name, value in parameters_of(summary).items()],
            tags=[RunTag("tidemark.status", summary.status)],
        )
        # Last: a run that is not ended there was cut off, and is sent again.
        ends = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
        client.set_terminated(run.info.run_id, ends[summary.status], end_time=ended_at)


def metrics_of(summary: sa.Row[Any]) -> dict[str, float]:
    """The numbers of a run; the pass rate is left out where no rule was judged."""
    judged = summary.rules_judged
    return {
        "records_ingested": float(summary.records_ingested),
        "feature_count": float(summary.feature_count),
        "duration_s": float(summary.duration_s),
        "rows_read": float(summary.rows_read),
        "rows_written": float(summary.rows_written),
        "rows_quarantined": float(summary.rows_quarantined),
        **({"validation_pass_rate": summary.rules_passed / judged} if judged else {}),
    }


def parameters_of(summary: sa.Row[Any]) -> dict[str, str]:
    """What the run was about."""
    found = {
        "dataset": ", ".join(summary.datasets),
        "tables": ", ".join(summary.tables)[:500],
        "window": f"{summary.first_day} to {summary.last_day}" if summary.first_day else "",
        "job": summary.job,
        "code_version": summary.code_version,
    }
    return {name: value for name, value in found.items() if value}
