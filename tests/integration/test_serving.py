"""`tidemark serve` as a client sees it: a real server on loopback, a real database, a real online store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from assets_pkg.api.serving import MOST_BYTES, MOST_KEYS, build_app
from assets_pkg.commands.serve import serve, token_of
from resources.catalog.schema import CatalogedTimescale
from resources.errors import ConfigurationError
from resources.feast.resource import FeastResource
from resources.timescale import server, sql
from resources.timescale.arrow import to_arrow
from resources.timescale.capabilities import read_capabilities
from resources.timescale.tables import ensure
from resources.wiring import Settings
from schemas.tables import AIR_QUALITY_HOURLY
from tests import web_server
from tests.builders import feature_rows, together

pytestmark = pytest.mark.timeout(600)
TOKEN = "a token for the test"
VIEW = "air_quality_hourly"
THIS_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str

    def ask(self, body: Any, *, token: str | None = TOKEN, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return requests.post(f"{self.url}/get-online-features", json=body, headers=headers, timeout=30, **options)


@pytest.fixture(scope="module")
def feast(embedded: server.EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> FeastResource:
    """Location 1 has a row of this hour, location 2 one of last week."""
    server.ensure_databases(embedded, ["serving"])
    timescale = CatalogedTimescale(database_url=embedded.url("serving"))
    rows = together(
        feature_rows(2, first=THIS_HOUR - timedelta(hours=1), pm25_ugm3=[1.5, 0.1 + 0.2], aqi=[None, 7]),
        feature_rows(1, first=THIS_HOUR - timedelta(days=7), location_id=2, pm25_ugm3=9.0),
    )
    with timescale.connect() as connection:
        ensure(connection, AIR_QUALITY_HOURLY, read_capabilities(connection))
    with timescale.transaction() as transaction:
        transaction.copy(sql.table_of(AIR_QUALITY_HOURLY), to_arrow(rows, AIR_QUALITY_HOURLY.model))
    resource = FeastResource(timescale=timescale, home=str(tmp_path_factory.mktemp("serving")))
    resource.mark_all(AIR_QUALITY_HOURLY)
    resource.push(AIR_QUALITY_HOURLY)
    return resource


@contextmanager
def running(feast: FeastResource) -> Iterator[Served]:
    with web_server.running(build_app(feast, TOKEN)) as url:
        yield Served(url)


@pytest.fixture(scope="module")
def served(feast: FeastResource) -> Iterator[Served]:
    with running(feast) as one:
        yield one


def question(**changes: Any) -> dict[str, Any]:
    asked = {"features": [f"{VIEW}:pm25_ugm3", f"{VIEW}:aqi"], "entities": {"location_id": [1, 2, 3]}}
    return {name: value for name, value in (asked | changes).items() if value is not None}


def answered(response: requests.Response) -> dict[str, dict[str, list[Any]]]:
    assert response.status_code == 200, response.text
    body = response.json()
    return dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))


def test_the_newest_rows_are_served_and_how_fresh_they_are(served: Served) -> None:
    found = answered(served.ask(question()))
    assert found["location_id"]["values"] == [1, 2, 3]
    assert found["pm25_ugm3"]["values"] == [0.1 + 0.2, 9.0, None]
    assert found["pm25_ugm3"]["statuses"][:2] == ["PRESENT", "OUTSIDE_MAX_AGE"]
    assert found["pm25_ugm3"]["statuses"][2] != "PRESENT"
    assert datetime.fromisoformat(found["pm25_ugm3"]["event_timestamps"][0]) == THIS_HOUR
    assert found["aqi"]["values"] == [7, None, None]


def test_a_feature_service_and_full_names(served: Served) -> None:
    found = answered(served.ask(question(features=None, feature_service=VIEW, full_feature_names=True)))
    assert len(found) == len(AIR_QUALITY_HOURLY.features) + 1
    assert found[f"{VIEW}__pm25_ugm3"]["statuses"][1] == "OUTSIDE_MAX_AGE"


@pytest.mark.parametrize("token", [None, "", "a token", TOKEN + " ", TOKEN.upper(), "\udcff"])
def test_without_the_token_nobody_learns_anything(served: Served, token: str | None) -> None:
    if token == "\udcff":
        raw = requests.Request("POST", f"{served.url}/get-online-features", headers={"Authorization": b"Bearer \xff"})
        answer = requests.Session().send(raw.prepare(), timeout=30)
    else:
        answer = served.ask(question(), token=token)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "pm25" not in answer.text


def test_nothing_can_be_written_and_nothing_else_is_told(served: Served) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("push", "write-to-online-store", "materialize", "materialize-incremental", "docs", "openapi.json"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = requests.request(method, f"{served.url}/{path}", headers=headers, json={}, timeout=30)
            assert answer.status_code in (404, 405), path
    assert requests.get(f"{served.url}/health", timeout=30).json() == {"status": "ok"}
    assert requests.get(f"{served.url}/get-online-features", headers=headers, timeout=30).status_code == 405


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"features": None}, 422, "name either features"),
        ({"feature_service": VIEW}, 422, "name either features"),
        ({"features": [f"{VIEW}:nobody_knows"]}, 404, "nobody_knows"),
        ({"features": ["nobody_knows:pm25_ugm3"]}, 404, "nobody_knows"),
        ({"features": ["pm25_ugm3"]}, 422, ""),
        ({"features": None, "feature_service": "nobody_knows"}, 404, "nobody_knows"),
        ({"entities": {"location_id": [1], "height": [1, 2]}}, 422, "different lengths"),
        ({"entities": {"location_id": []}}, 422, "at least 1"),
        ({"entities": {}}, 422, "at least 1"),
        ({"entities": {"site": [1]}}, 422, ""),
        ({"entities": {"location_id": [1.5]}}, 422, ""),
        ({"entities": {"location_id": [2**63]}}, 422, ""),
        ({"entities": {"location_id": [None]}}, 422, ""),
        ({"entities": {"location_id": ["secret key"]}}, 422, ""),
        ({"entities": {"location_id": [1] * (MOST_KEYS + 1)}}, 422, "at most"),
        ({"surplus": 1}, 422, "surplus"),
    ],
)
def test_what_cannot_be_answered_is_told_as_a_problem(
    served: Served, changes: dict[str, Any], status: int, told: str
) -> None:
    answer = served.ask(question(**changes))
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told in answer.json()["detail"]
    assert "secret key" not in answer.text and "Traceback" not in answer.text


def test_a_body_has_a_length_and_a_limit(served: Served) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{served.url}/get-online-features"
    assert requests.post(url, headers=headers, data=b" " * (MOST_BYTES + 1), timeout=30).status_code == 413
    assert requests.post(url, headers=headers, data=iter([b"{}"]), timeout=30).status_code == 411
    assert requests.post(url, headers=headers, data=b"{", timeout=30).status_code == 422


def test_what_feasts_own_client_sends_is_understood(served: Served) -> None:
    sent = question(full_feature_names=False, include_feature_view_version_metadata=False)
    assert answered(served.ask(sent))["aqi"]["values"] == [7, None, None]


def test_a_store_that_is_away_is_told_as_that_and_by_no_name(feast: FeastResource) -> None:
    away = FeastResource(timescale=feast.timescale, online_store_url="redis://:hunter2@127.0.0.1:1/0", home=feast.home)
    with running(away) as server_without_store:
        answer = server_without_store.ask(question())
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "hunter2" not in answer.text and "127.0.0.1" not in answer.text


def test_an_app_without_a_token_is_not_built(feast: FeastResource) -> None:
    with pytest.raises(ValueError, match="no token"):
        build_app(feast, "")


def test_the_token_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    chosen = Settings(_env_file=None, TIDEMARK_HOME=tmp_path / "home")
    token = token_of(chosen, is_local=True)
    assert len(token) >= 32 and token_of(chosen, is_local=True) == token
    (file,) = (tmp_path / "home").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_beyond_this_machine_somebody_has_chosen_the_token(tmp_path: Path) -> None:
    chosen = Settings(_env_file=None, TIDEMARK_HOME=tmp_path)
    with pytest.raises(ConfigurationError, match="TIDEMARK_SERVING_TOKEN"):
        serve(chosen, host="0.0.0.0", port=1)
    set_token = Settings(_env_file=None, TIDEMARK_HOME=tmp_path, TIDEMARK_SERVING_TOKEN="chosen")
    assert token_of(set_token, is_local=False) == "chosen"
