"""Every error the product raises on purpose.

    TidemarkError
    ├── TransientError                 trying again later may help; Dagster's retry policy applies
    │   ├── SourceUnavailable          a source does not answer, answers 5xx, or is cut off
    │   ├── RateLimited                the shared request budget is spent, or the API said 429
    │   ├── SourceChanging             a file becomes another one whenever it is read: its writer is not done
    │   ├── CircuitOpen                a source failed so often that nobody asks it for a while
    │   ├── DatabaseUnavailable        no database, or it went away
    │   └── OnlineStoreUnavailable     the online store does not answer; what it lacks is noted and written later
    │       └── OnlineTablesMissing    it answers, and has lost the tables it was told to make
    └── TerminalError                  trying again changes nothing; a person must act
        ├── ConfigurationError         a setting is missing or wrong
        ├── CredentialsRejected        401/403, wrong password, missing right
        ├── UnexpectedAnswer           a source answered something its contract does not allow
        ├── CorruptSource              a file is truncated or not what it claims to be
        ├── SourceVanished             a file was renamed or deleted before it was read
        ├── RejectedFile               a file is refused as a whole; the rule says why
        ├── UnknownLocation            a location the source does not know
        ├── ContractBroken             rows break the table's model in a way nothing may hide
        ├── UnreadAgain                files loaded before cannot be read any more; their rows stay
        ├── LedgerNotClosed            read != loaded + duplicate + quarantined + filtered
        └── PartialFetch               some locations failed; the others are committed, the sensor asks for the rest

A message says what is wrong, where, and what to do; it never holds a secret. Does not belong here: handling.
"""


class TidemarkError(Exception):
    """Base of all errors below."""


class TransientError(TidemarkError):
    """Trying again later may help."""


class SourceUnavailable(TransientError):
    """A source does not answer, answers 5xx, or is cut off."""


class RateLimited(TransientError):
    """The shared request budget is spent, or the API said 429.

    `retry_after_s` says how many seconds to wait, if known.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SourceChanging(TransientError):
    """A file becomes another one whenever it is read: its writer is not done."""


class CircuitOpen(TransientError):
    """A source failed so often that nobody asks it for a while."""


class DatabaseUnavailable(TransientError):
    """No database, or it went away."""


class OnlineStoreUnavailable(TransientError):
    """The online store does not answer; what it lacks is noted and written later."""


class OnlineTablesMissing(OnlineStoreUnavailable):
    """The online store answers, and has lost the tables it was told to make."""


class TerminalError(TidemarkError):
    """Trying again changes nothing; a person must act."""


class ConfigurationError(TerminalError):
    """A setting is missing or wrong."""


class CredentialsRejected(TerminalError):
    """401/403, wrong password, missing right."""


class UnexpectedAnswer(TerminalError):
    """A source answered something its contract does not allow."""


class CorruptSource(TerminalError):
    """A file is truncated or not what it claims to be."""


class SourceVanished(TerminalError):
    """A file was renamed or deleted before it was read; under its new name it is found again."""


class RejectedFile(TerminalError):
    """A file is refused as a whole; nothing of it is visible.

    `rule` is the short name of what it breaks, e.g. `truncated`, `bomb`, `too_many_columns`, `frozen_schema`.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class UnknownLocation(TerminalError):
    """A location the source does not know."""


class ContractBroken(TerminalError):
    """Rows break the table's model in a way nothing may hide."""


class UnreadAgain(TerminalError):
    """Files loaded before cannot be read under the declaration as it is now; their rows stay as they were."""


class LedgerNotClosed(TerminalError):
    """read != loaded + duplicate + quarantined + filtered."""


class PartialFetch(TerminalError):
    """Some locations failed; the others are committed, and the sensor asks for the rest when it is due."""
