"""Channels: whom to tell, from which level on.

Belongs here: reading channels from settings. An address is a secret: messages never repeat it, a repr does not show it.
Does not belong here: sending (`sending.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from resources.alerts.level import Level, level_of

OFF = "off"
DEFAULT_LEVEL = Level.WARNING
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]*)://")


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One address."""

    name: str
    url: str = field(repr=False)
    """Apprise's URL; a secret."""
    least: Level = DEFAULT_LEVEL
    """Alerts below it are not told."""
    is_on: bool = True

    @property
    def kind(self) -> str:
        """What may be shown of the address: its scheme, e.g. slack, mailtos, pagerduty, jsons."""
        found = SCHEME.match(self.url)
        return found[1].lower() if found else "?"

    def wants(self, level: Level) -> bool:
        """Whether an alert of the level is told here."""
        return self.is_on and level >= self.least

    def described(self) -> str:
        """The channel without its secret."""
        return f"{self.name}: {self.kind}, {f'{self.least.word} and above' if self.is_on else 'off'}"


def channels_of(urls: str, levels: str = "") -> tuple[Channel, ...]:
    """The channels of two settings: `name=url` and `name=level` (or `name=off`), separated by white space.

    Raises:
        ValueError: one is malformed, named twice, or a level is of a channel that is not there; never repeats a URL.
    """
    addresses = _pairs(urls, "name=url, where a URL is like mailtos://user:password@host?to=ops@host")
    chosen = _pairs(levels, "name=level or name=off")
    if unknown := sorted(chosen.keys() - addresses.keys()):
        raise ValueError(f"no channel is called {', '.join(unknown)}")
    for name, url in addresses.items():
        if not SCHEME.match(url):
            raise ValueError(
                f"the address of channel {name} is no URL such as slack://, mailtos://, pagerduty://, jsons://"
            )
    return tuple(_channel(name, url, chosen) for name, url in addresses.items())


def _channel(name: str, url: str, chosen: Mapping[str, str]) -> Channel:
    word = chosen.get(name, DEFAULT_LEVEL.word).lower()
    if word == OFF:
        return Channel(name=name, url=url, is_on=False)
    return Channel(name=name, url=url, least=level_of(word))


def _pairs(text: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for position, part in enumerate(text.split(), start=1):
        name, equals, value = part.partition("=")
        if not equals or not value or not NAME.fullmatch(name):
            raise ValueError(f"entry {position} is not of the form {form}")
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = value
    return found
