"""The log file as the settings say, and the handler for Dagster's runs that dagster.yaml names.

Belongs here: settings into handlers. Does not belong here: the file, the format, what a secret looks like
(`resources/logs/`).
"""

import logging

from pydantic import SecretStr

from resources import wiring
from resources.logs.process_logs import log_file
from resources.logs.redaction import secrets_in


class RunLog(logging.Handler):
    """What a run logs, and its failures, for the file of `TIDEMARK_HOME`; Dagster builds one in each process of a run
    and gives each record the run, its tags and its step."""

    def __init__(self) -> None:
        super().__init__()
        self._file = build_log_file(wiring.settings())
        self.setLevel(self._file.level)

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the record on."""
        self._file.handle(record)


def build_log_file(chosen: wiring.Settings) -> logging.Handler:
    """The handler of the log file as configured."""
    return log_file(
        chosen.home,
        level=chosen.log_level,
        most_bytes=chosen.log_bytes,
        files=chosen.log_files,
        secrets=secrets_of(chosen),
    )


def secrets_of(chosen: wiring.Settings) -> frozenset[str]:
    """Every secret that is configured, to keep it out of texts."""
    given = [getattr(chosen, name) for name in type(chosen).model_fields]
    values = [one.get_secret_value() for one in given if isinstance(one, SecretStr)]
    sources = [value for name, value in wiring.source_settings(chosen).items() if not name.endswith("_TOKEN_HEADER")]
    return frozenset(secret for value in [*values, *sources] for secret in secrets_in(value))
