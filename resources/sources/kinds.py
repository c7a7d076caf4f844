"""The kinds of sources: one class each, one line each here.

Belongs here: which class reads which kind, and what it is given. Does not belong here: reading.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from resources.circuit.breaker import DEFAULT_POLICY, CircuitBreaker, CircuitPolicy, CircuitStore, LocalCircuitStore
from resources.http.client import Patience
from resources.openaq.rate_budget import LocalRateBudget, Rate, RateBudget
from resources.sources.database import DatabaseSource
from resources.sources.guarded import GuardedSource
from resources.sources.object_store import ObjectStoreSource
from resources.sources.rest import RestSource
from resources.sources.source import Source
from schemas.source_dataset import SourceKind


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Where a source is and how it is reached."""

    name: str
    url: SecretStr
    setting: str = "the source's URL"
    """The setting that holds the URL, for messages."""
    token: SecretStr | None = None
    token_header: str = "Authorization"
    budget: RateBudget = field(default_factory=lambda: LocalRateBudget((Rate(60, 60.0),)))
    circuits: CircuitStore = field(default_factory=LocalCircuitStore)
    policy: CircuitPolicy = DEFAULT_POLICY
    patience: Patience | None = None
    heard: Callable[[float], None] = lambda _: None
    """Is told how long each answer of an API took, seconds."""
    work_dir: Path | None = None
    """Where objects lie while they are read; None: the system's folder for such."""

    @property
    def breaker(self) -> CircuitBreaker:
        """The breaker of the source."""
        return CircuitBreaker(f"source/{self.name}", self.policy, self.circuits)


KINDS: Mapping[SourceKind, Callable[[Reach], Source]] = {
    SourceKind.DATABASE: lambda reach: GuardedSource(
        DatabaseSource(reach.url.get_secret_value(), setting=reach.setting), reach.breaker
    ),
    SourceKind.OBJECT_STORE: lambda reach: GuardedSource(
        ObjectStoreSource(reach.url.get_secret_value(), setting=reach.setting, work_dir=reach.work_dir), reach.breaker
    ),
    SourceKind.REST: lambda reach: RestSource(
        reach.url.get_secret_value(),
        setting=reach.setting,
        name=reach.name,
        token=reach.token,
        token_header=reach.token_header,
        budget=reach.budget,
        circuits=reach.circuits,
        policy=reach.policy,
        patience=reach.patience,
        heard=reach.heard,
    ),
}


def open_source(kind: SourceKind, reach: Reach) -> Source:
    """The source of `kind` at `reach.url`; nothing is connected yet.

    Raises:
        ConfigurationError: it cannot be at this URL; the message names the setting.
    """
    return KINDS[kind](reach)
