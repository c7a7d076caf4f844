"""`/metrics` of `tidemark serve`: the state of the pipeline as Prometheus reads it.

Belongs here: Prometheus' format. Does not belong here: the figures (`resources/catalog/figures.py`), who may read them
(`serving.py`).
"""

import threading
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from resources.catalog.figure import Figure
from resources.catalog.figures import figures
from resources.catalog.run_figures import Budgets
from resources.timescale.resource import TimescaleResource
from schemas.tables import TABLES

CONTENT_TYPE = CONTENT_TYPE_LATEST

REST = 9.0
"""What was read is told for so many times as long as reading took: looking takes a tenth of one connection at most,
however large the catalog is and however many ask."""


class Metrics:
    """What `/metrics` says; one question at a time."""

    def __init__(self, timescale: TimescaleResource, budgets: Budgets) -> None:
        self._timescale = timescale
        self._budgets = budgets
        self._alone = threading.Lock()
        self._told = b""
        self._until = 0.0

    def exposition(self) -> bytes:
        """Everything there is to read, now or a moment ago.

        Raises:
            DatabaseUnavailable: the catalog cannot be read.
        """
        with self._alone:
            began = time.monotonic()
            if began >= self._until:
                self._told = self._read(began)
                now = time.monotonic()
                self._until = now + REST * (now - began)
            return self._told

    def _read(self, began: float) -> bytes:
        with self._timescale.connect() as connection:
            found = list(figures(connection, TABLES, self._budgets))
        took = time.monotonic() - began
        told = "Seconds the newest look at the catalog took"
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures([*found, Figure("tidemark_scrape_seconds", told, (), [((), took)])]))
        ProcessCollector(registry=registry)
        return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, found: Iterable[Figure]) -> None:
        self._found = found

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for figure in self._found:
            family = GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
            for labels, value in figure.samples:
                family.add_metric(list(labels), value)
            yield family
