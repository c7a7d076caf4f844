"""A served table as an input: what it says as of moments.

Belongs here: the value an asset's parameter gets when it is annotated `FeatureView`. Does not belong here: the join.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from schemas.table_spec import TableSpec

if TYPE_CHECKING:
    from resources.feast.resource import FeastResource


class FeatureView:
    """A served table, to be asked what it said as of a moment, and what it serves now."""

    def __init__(self, feast: "FeastResource", spec: TableSpec) -> None:
        self._feast = feast
        self.spec = spec

    @property
    def name(self) -> str:
        """Its name in Feast."""
        return self.spec.view

    def as_of(self, entity_frame: pd.DataFrame, features: Sequence[str] | None = None) -> pd.DataFrame:
        """Per row of `entity_frame` (the entities and `event_timestamp`; naive means UTC) the newest row up to that
        moment and not older than the view's ttl, its features null if there is none; other columns stay.

        Errors as `FeastResource.historical`.
        """
        references = [f"{self.name}:{feature}" for feature in (features or self.spec.features)]
        self._feast.ensure_applied(self.spec)
        return self._feast.historical(entity_frame, references)

    def online(self, keys: pd.DataFrame, features: Sequence[str] | None = None) -> pd.DataFrame:
        """What is served now for the keys; see `FeastResource.online`."""
        return self._feast.online([f"{self.name}:{feature}" for feature in (features or self.spec.features)], keys)
