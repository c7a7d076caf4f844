"""Secrets out of texts, before anybody stores or shows them.

Belongs here: what a secret looks like. Does not belong here: which secrets are configured (`resources/wiring.py`).
"""

import re
from collections.abc import Collection, Iterator
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
LEAST = 6
"""Characters from which a configured secret is looked for: a shorter one would be found in ordinary words."""

_NAMED = r"password|passwd|pwd|secret|token|access_token|api_?key|apikey|signature|sig|credential|x-amz-[\w-]+"
_PATTERNS = (
    re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#]*@"),
    re.compile(r"(//hooks\.slack\.com/services/)[\w/-]+"),
    re.compile(rf"(?i)((?:\b|_)(?:{_NAMED})[\"']?\s?=\s?[\"']?)[^\s&\"',;)]+"),
    re.compile(r"(?i)((?:authorization|x-api-key|api-key)[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"',}]+"),
)
_LIKE = (rf"\1{MASK}@", rf"\1{MASK}", rf"\1{MASK}", rf"\1{MASK}")


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """The text without users of URLs, without values of parameters and headers that hold secrets, and without the
    configured `secrets`, as they are and as a URL writes them."""
    for secret in sorted(secrets, key=len, reverse=True):
        for written in {secret, quote(secret, safe=""), unquote(secret)}:
            if len(written) >= LEAST:
                text = text.replace(written, MASK)
    for pattern, like in zip(_PATTERNS, _LIKE, strict=True):
        text = pattern.sub(like, text)
    return text


def secrets_in(value: str) -> Iterator[str]:
    """What is secret in a configured value: of URLs (several, separated by white space, perhaps named) the password and
    all that looks like a token, of anything else the value itself."""
    if "://" not in value:
        yield value
        return
    for address in value.split():
        url = urlsplit(address.partition("=")[2] if "://" in address.partition("=")[2] else address)
        if url.password:
            yield url.password
        # Apprise writes tokens where other URLs have a host or a path.
        yield from (part for part in re.split(r"[/:@?&=]", address) if len(part) >= 8 and re.search(r"\d", part))
