"""Addresses of sources: what is wrong with one is told without a part of the password or a key in it."""

import pytest

from resources.errors import ConfigurationError
from resources.http.client import checked_url
from resources.sources.database_connection import DatabaseAddress
from resources.sources.object_store import ObjectStoreSource

SETTING = "TIDEMARK_SOURCE_SHOP_URL"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:hunter2@S3CRET@127.0.0.1/delivery",
        "mysql://reader:hunter2@S3CRET@127.0.0.1/delivery",
        "reader:S3CRET@127.0.0.1/delivery",
        "S3CRET",
    ],
)
def test_a_database_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encoded") as raised:
        DatabaseAddress(url, SETTING)
    assert SETTING in str(raised.value) and "S3CRET" not in str(raised.value)


def test_a_good_database_url_is_shown_without_its_user() -> None:
    shown = DatabaseAddress("postgresql://reader:S3CRET%40x@127.0.0.1:5433/delivery", SETTING).shown
    assert shown == "postgresql://127.0.0.1:5433/delivery"


@pytest.mark.parametrize(
    "url", ["api.example.org/v1?api_key=S3CRET", "reader:S3CRET@api.example.org", "https://api.example.org?key=S3CRET"]
)
def test_an_api_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        checked_url(url, label=SETTING, example="https://api.example.org/v1")
    assert "S3CRET" not in str(raised.value)


@pytest.mark.parametrize("url", ["AKIA:S3CRET@bucket/prefix", "s3://AKIA:S3CRET@bucket/prefix", "s3://b?key=S3CRET"])
def test_keys_in_a_buckets_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID") as raised:
        ObjectStoreSource(url, setting=SETTING)
    assert "S3CRET" not in str(raised.value)
