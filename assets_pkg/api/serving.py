"""Online features over HTTP: read-only, behind a token. Feast's own server has no login, and its writes are open.

`POST /get-online-features` takes and gives what Feast's server takes and gives, so that Feast's clients work with it,
and says more: a value older than its view's ttl has the status OUTSIDE_MAX_AGE, which Feast leaves to whoever asks.

Belongs here: routes, limits, the token. Does not belong here: where values come from (`resources/feast/`), the process
that serves (`assets_pkg/commands/serve.py`).
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from assets_pkg.api.metrics import CONTENT_TYPE, Metrics
from assets_pkg.api.verdicts import verdicts
from resources.catalog.run_figures import Budgets
from resources.errors import TidemarkError
from resources.feast.online_errors import reaching
from resources.feast.resource import FeastResource
from resources.timescale.resource import translated_sqlalchemy
from schemas.tables import TABLES

MOST_KEYS = 10_000
MOST_FEATURES = 1_000
MOST_BYTES = 4 * 1024 * 1024
"""Of a request's body: room for the keys above."""

PRESENT, STALE = "PRESENT", "OUTSIDE_MAX_AGE"
Key = Annotated[str, Field(max_length=1_000)] | Annotated[int, Field(ge=-(2**63), lt=2**63)]
Name = Annotated[str, Field(max_length=300)]


class OnlineQuestion(BaseModel):
    """Which features of whom."""

    model_config = ConfigDict(extra="forbid", strict=True)

    entities: dict[Name, Annotated[list[Key], Field(min_length=1, max_length=MOST_KEYS)]] = Field(min_length=1)
    """Name of the entity -> its values; lists of equal length."""
    features: Annotated[list[Name], Field(max_length=MOST_FEATURES)] = []
    """`view:feature`."""
    feature_service: Name | None = None
    """Instead of `features`: a feature service, such as a feature set."""
    full_feature_names: bool = False
    """Whether features are called `view__feature` in the answer."""
    include_feature_view_version_metadata: bool = False
    """Feast's own clients send it; views have one version online, so there is nothing to tell."""


def build_app(feast: FeastResource, token: str, budgets: Budgets | None = None) -> FastAPI:
    """The application; whoever sends `Authorization: Bearer <token>` may read. `budgets` of requests have figures.

    Raises:
        ValueError: the token is empty.
    """
    if not token:
        raise ValueError("no token: an open feature server tells everybody everything")
    app = FastAPI(title="Tidemark online features", docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(_guard(token))
    told = Metrics(feast.timescale, budgets or {})
    app.exception_handler(RequestValidationError)(_refuse_malformed)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Whether the process answers; nothing about data."""
        return {"status": "ok"}

    @app.get("/metrics")
    def metrics() -> Response:
        """The state of the pipeline, for Prometheus."""
        try:
            return Response(told.exposition(), media_type=CONTENT_TYPE)
        except TidemarkError as error:
            logging.getLogger(__name__).error("figures cannot be read: %s", error)
            return _problem(503, "Service Unavailable", "the catalog does not answer; see the log")

    @app.get("/api/quality/{table}/verdicts")
    def quality_verdicts(
        table: str, first: Annotated[date, Query(alias="from")], last: Annotated[date, Query(alias="to")]
    ) -> Response:
        """What the rules said of a table's days."""
        if table not in TABLES:
            return _problem(404, "Not Found", "there is no such table; tables: tidemark status")
        try:
            return JSONResponse(verdicts(feast.timescale, table, first, last))
        except ValueError as error:
            return _problem(422, "Unprocessable Content", str(error))
        except TidemarkError as error:
            logging.getLogger(__name__).error("verdicts cannot be read: %s", error)
            return _problem(503, "Service Unavailable", "the catalog does not answer; see the log")

    @app.post("/get-online-features")
    def get_online_features(question: OnlineQuestion) -> Response:
        """The newest features of the entities asked for, and how fresh they are."""
        return _answer(feast, question)

    return app


def _guard(token: str) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    expected = f"Bearer {token}".encode()

    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "").encode("latin-1")  # the bytes as they came
        if request.url.path != "/health" and not hmac.compare_digest(given, expected):
            answer: Response = _problem(401, "Unauthorized", "send the header Authorization: Bearer <token>")
            answer.headers["WWW-Authenticate"] = "Bearer"
        elif not request.headers.get("content-length", "0").isdigit() or "chunked" in request.headers.get(
            "transfer-encoding", ""
        ):
            answer = _problem(411, "Length Required", "say how long the body is")
        elif int(request.headers.get("content-length", "0")) > MOST_BYTES:
            answer = _problem(413, "Content Too Large", f"a request has at most {MOST_BYTES} bytes")
        else:
            answer = await proceed(request)
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return guard


def _answer(feast: FeastResource, question: OnlineQuestion) -> Response:
    from feast.errors import FeastError
    from feast.feature_server_utils import convert_response_to_dict

    if bool(question.features) == bool(question.feature_service):
        return _problem(422, "Unprocessable Content", "name either features (view:feature) or a feature_service")
    if len({len(values) for values in question.entities.values()}) > 1:
        return _problem(422, "Unprocessable Content", "the lists of entities have different lengths")
    try:
        with reaching(feast.online_store.name), translated_sqlalchemy():
            wanted = feast.store.get_feature_service(question.feature_service) if question.feature_service else None
            asked = _asked(question, wanted)
            views = {view: feast.store.get_feature_view(view) for view, _ in asked}
            if told := _mistyped(question, views.values()):
                return _problem(422, "Unprocessable Content", told)
            found = feast.store.get_online_features(
                features=wanted or list(question.features),
                entity_rows=dict(question.entities),
                full_feature_names=question.full_feature_names,
            )
    except TidemarkError as error:
        logging.getLogger(__name__).error("an online lookup failed: %s", error)
        return _problem(503, "Service Unavailable", "the online store or the registry does not answer; see the log")
    except (FeastError, KeyError, ValueError) as error:
        return _problem(404 if "not" in str(error) else 422, "Cannot be answered", " ".join(str(error).split())[:500])
    answer = convert_response_to_dict(found.proto)
    ages = {
        f"{view}__{name}" if question.full_feature_names else name: views[view].ttl
        for view, name in asked
        if views[view].ttl
    }
    _mark_stale(answer, ages, datetime.now(UTC))
    return JSONResponse(answer)


def _asked(question: OnlineQuestion, service: Any) -> list[tuple[str, str]]:
    """View and name of each feature.

    Raises:
        ValueError: a reference names no view.
    """
    if service is not None:
        return [(one.name, feature.name) for one in service.feature_view_projections for feature in one.features]
    pairs = [reference.partition(":") for reference in question.features]
    if bare := [view for view, _, name in pairs if not name]:
        raise ValueError(f"features are called view:feature; this one is malformed: {bare[0]}")
    return [(view, name) for view, _, name in pairs]


def _mistyped(question: OnlineQuestion, views: Iterable[Any]) -> str | None:
    """What is wrong with the entities, without repeating their values."""
    known = {column.name: column.dtype.to_value_type().name for view in views for column in view.entity_columns}
    for name, kind in known.items():
        if name not in question.entities:
            return f"the entity {name} is missing"
        wanted = str if kind == "STRING" else int
        if any(not isinstance(value, wanted) for value in question.entities[name]):
            return f"values of the entity {name} are {'texts' if wanted is str else 'whole numbers'}"
    return None


def _mark_stale(answer: dict[str, Any], ages: Mapping[str, timedelta], now: datetime) -> None:
    for name, column in zip(answer["metadata"]["feature_names"], answer["results"], strict=True):
        if name not in ages:
            continue
        oldest = now - ages[name]
        column["statuses"] = [
            STALE if status == PRESENT and datetime.fromisoformat(stamp) < oldest else status
            for status, stamp in zip(column["statuses"], column["event_timestamps"], strict=True)
        ]


def _refuse_malformed(_: Request, error: Exception) -> Response:
    """What is wrong with a question, without repeating it: keys may be personal."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = "; ".join(f"{'.'.join(map(str, one['loc'][1:4]))}: {one['msg']}" for one in found[:5])
    return _problem(422, "Unprocessable Content", told or "this is not what the address takes")


def _problem(status: int, title: str, detail: str) -> JSONResponse:
    """An error as RFC 9457 has it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")
