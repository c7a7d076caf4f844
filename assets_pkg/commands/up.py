"""`tidemark up` and `tidemark down`: the stack in the foreground, in the background, and its end.

Belongs here: what the user is told. Does not belong here: processes (`assets_pkg/launcher.py`).
"""

import os
import signal
import subprocess
import sys

from assets_pkg.commands.tables import terminal
from assets_pkg.launcher import START_LIMIT_S, STOP_LIMIT_S, launcher_of, run_up, url_of
from assets_pkg.leftovers import wait_until
from resources.errors import ConfigurationError
from resources.timescale.capabilities import read_capabilities
from resources.wiring import Settings, build_timescale


def up(chosen: Settings, *, port: int) -> int:
    """Runs the stack until Ctrl-C; says once what the database can do."""
    console = terminal()

    def ready(line: str) -> None:
        with build_timescale(chosen).connect() as connection:
            console.print(read_capabilities(connection).describe(), style="dim", highlight=False)
        console.print(line, highlight=False)
        console.print("Ctrl-C stops it.", style="dim")

    return run_up(chosen, port=port, on_ready=ready)


def up_in_background(chosen: Settings, *, port: int) -> str:
    """Starts the stack as a process of its own that outlives this one; the UI's URL when it answers.

    Raises:
        ConfigurationError: it does not come up; says why.
    """
    log = chosen.home / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "assets_pkg.cli", "up", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    wait_until(lambda: url_of(chosen.home) is not None or process.poll() is not None, START_LIMIT_S)
    url = url_of(chosen.home)
    if url is None:
        raise ConfigurationError(f"the stack did not come up: {log.read_text(errors='replace')[-2000:]}")
    return url


def down(chosen: Settings) -> int:
    """Stops the stack of this home, wherever it was started; 0 also if none runs."""
    console = terminal()
    launcher = launcher_of(chosen.home)
    if launcher is None:
        console.print(f"nothing runs in {chosen.home}", highlight=False)
        return 0
    os.kill(launcher, signal.SIGTERM)
    if not wait_until(lambda: launcher_of(chosen.home) is None, 2 * STOP_LIMIT_S):
        console.print(f"process {launcher} does not stop; see {chosen.home / 'logs'}", highlight=False)
        return 1
    console.print("stopped", highlight=False)
    return 0
