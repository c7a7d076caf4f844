"""`tidemark feast rebuild [VIEW ...]`: writes the online store anew from the tables: the cure for one that lost data.

Belongs here: arguments and the progress display. Does not belong here: what is written (`resources/feast/`).
"""

from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from assets_pkg.commands.tables import terminal
from resources.errors import ConfigurationError
from resources.timescale.capabilities import read_capabilities
from resources.timescale.tables import ensure
from resources.wiring import Settings, build_timescale, feast_resource
from schemas.tables import SERVED


def rebuild(chosen: Settings, wanted: Sequence[str]) -> int:
    """Marks every key of the views (none named: of all) and serves them; 0.

    Raises:
        ConfigurationError: there is no such view.
        OnlineStoreUnavailable: what was served stays; the rest stays marked and is served when the store is back.
    """
    if unknown := [name for name in wanted if name not in SERVED]:
        raise ConfigurationError(f"no view {', '.join(unknown)}; there are {', '.join(sorted(SERVED))}")
    timescale = build_timescale(chosen)
    feast = feast_resource(chosen, timescale)
    with timescale.connect() as connection:
        for view in wanted or SERVED:
            ensure(connection, SERVED[view], read_capabilities(connection))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = terminal()
    with Progress(*columns, console=console) as bars:
        for view in wanted or sorted(SERVED):
            feast.mark_all(SERVED[view])
            marked = {state.view: state.pending for state in feast.states()}.get(view, 0)
            task = bars.add_task(view, total=marked)
            feast.push(SERVED[view], progress=lambda keys, task=task: bars.advance(task, keys))
    return 0
