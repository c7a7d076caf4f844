"""`/metrics` of `tidemark serve`: the state of the pipeline as Prometheus reads it.

Belongs here: Prometheus' format. Does not belong here: the figures (`resources/catalog/figures.py`), who may read them
(`serving.py`).
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from resources.catalog.figures import Figure, figures
from resources.timescale.resource import TimescaleResource
from schemas.tables import TABLES

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(timescale: TimescaleResource) -> bytes:
    """Everything there is to read, now.

    Raises:
        DatabaseUnavailable: the catalog cannot be read.
    """
    with timescale.connect() as connection:
        found = list(figures(connection, TABLES))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(found))
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
