"""Dagster's webserver over GraphQL: launch a range, watch it, stop it.

Belongs here: the few requests the commands need, with errors a user understands. Does not belong here: deciding what to
run, showing progress.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from assets_pkg.planning import DayRange
from assets_pkg.runs import PARTITION, RANGE_END, RANGE_START, range_tags
from resources.errors import SourceUnavailable, UnexpectedAnswer
from schemas.table_spec import TableSpec

LOCATION = "tidemark"
REPOSITORY = "__repository__"
ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
TIMEOUT_S = 60.0

_LAUNCH_RUN = """
mutation($e: ExecutionParams!) { launchRun(executionParams: $e) {
  __typename
  ... on LaunchRunSuccess { run { id } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on InvalidSubsetError { message }
} }"""

_LAUNCH_BACKFILL = """
mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename
  ... on LaunchBackfillSuccess { backfillId }
  ... on PythonError { message }
} }"""

_RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { id status } } }"

_BACKFILL = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  __typename
  ... on PartitionBackfill { status runs(limit: 1000) { id status } error { message } }
  ... on PythonError { message }
} }"""

_FAILURES = """
query($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events {
  __typename
  ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } }
  ... on RunFailureEvent { message }
} } } }"""

_NEWEST = """
query($n: Int!) { runsOrError(limit: $n) { ... on Runs { results {
  id status jobName assetSelection { path } tags { key value }
} } } }"""

_TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"


@dataclass(frozen=True)
class RunState:
    """One run as the webserver tells of it."""

    run_id: str
    status: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ENDED


@dataclass(frozen=True)
class RunSummary:
    """One run in words."""

    run_id: str
    status: str
    what: str
    days: str


class DagsterClient:
    """The webserver at `url`, e.g. `http://127.0.0.1:3000`.

    Every method raises `SourceUnavailable` if it does not answer, `UnexpectedAnswer` if it refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def launch_range(self, specs: Sequence[TableSpec], days: DayRange, run_config: Mapping[str, Any]) -> str:
        """Starts one run of the tables' assets over the days; its id."""
        execution = {
            "selector": {
                "repositoryName": REPOSITORY,
                "repositoryLocationName": LOCATION,
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": [spec.schema, spec.name]} for spec in specs],
            },
            "runConfigData": run_config,
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in range_tags(days).items()]},
        }
        answer = self._ask(_LAUNCH_RUN, e=execution)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise UnexpectedAnswer(f"Dagster refused the run ({answer['__typename']}): {answer}")
        return str(answer["run"]["id"])

    def launch_backfill(self, specs: Sequence[TableSpec], days: DayRange) -> str:
        """Starts Dagster's own backfill of the tables' assets over the days; its id."""
        partitions = {"range": {"start": days.first.isoformat(), "end": days.last.isoformat()}}
        params = {
            "partitionsByAssets": [
                {"assetKey": {"path": [spec.schema, spec.name]}, "partitions": partitions} for spec in specs
            ]
        }
        answer = self._ask(_LAUNCH_BACKFILL, p=params)["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise UnexpectedAnswer(f"Dagster refused the backfill ({answer['__typename']}): {answer}")
        return str(answer["backfillId"])

    def run(self, run_id: str) -> RunState:
        """The run's state."""
        found = self._ask(_RUN, id=run_id)["runOrError"]
        return RunState(run_id, str(found.get("status", "NOT_FOUND")))

    def backfill(self, backfill_id: str) -> tuple[str, list[RunState]]:
        """The backfill's state and its runs."""
        found = self._ask(_BACKFILL, id=backfill_id)["partitionBackfillOrError"]
        if found["__typename"] != "PartitionBackfill":
            raise UnexpectedAnswer(f"Dagster does not know backfill {backfill_id}: {found}")
        return str(found["status"]), [RunState(str(run["id"]), str(run["status"])) for run in found["runs"]]

    def failures(self, run_id: str) -> list[str]:
        """Why a run failed: one sentence per failed step."""
        events = self._ask(_FAILURES, id=run_id)["logsForRun"].get("events", [])
        steps = [
            f"{event['stepKey']}: {_innermost(event['error'])}"
            for event in events
            if event["__typename"] == "ExecutionStepFailureEvent" and event.get("error")
        ]
        return steps or [str(event["message"]) for event in events if event["__typename"] == "RunFailureEvent"]

    def newest_runs(self, most: int = 8) -> list[RunSummary]:
        """The newest runs, newest first."""
        found = self._ask(_NEWEST, n=most)["runsOrError"].get("results", [])
        return [_summary(run) for run in found]

    def terminate(self, run_id: str) -> None:
        """Asks a run to stop."""
        self._ask(_TERMINATE, id=run_id)

    def _ask(self, query: str, **variables: object) -> dict[str, Any]:
        try:
            response = requests.post(
                f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=TIMEOUT_S
            )
            # Errors of the definitions come as status 500 with the reason in a JSON body.
            body = response.json()
        except (requests.RequestException, ValueError) as error:
            raise SourceUnavailable(f"Dagster's webserver at {self.url} does not answer: {error}") from error
        if body.get("errors"):
            raise UnexpectedAnswer(f"Dagster refused: {body['errors'][0].get('message', body['errors'])}")
        data: dict[str, Any] = body["data"]
        return data


def _summary(run: Mapping[str, Any]) -> RunSummary:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    what = ", ".join("/".join(asset["path"]) for asset in run["assetSelection"] or ()) or run["jobName"]
    days = " to ".join(filter(None, (tags.get(RANGE_START, tags.get(PARTITION, "")), tags.get(RANGE_END))))
    return RunSummary(str(run["id"]), str(run["status"]), what, days)


def _innermost(error: Mapping[str, Any]) -> str:
    """The message of the error's cause, which is ours, or else its own."""
    cause = error.get("cause") or {}
    return str(cause.get("message") or error["message"]).strip().splitlines()[0]
