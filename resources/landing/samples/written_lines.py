"""Text files written line by line, each line with what is to become of it.

Belongs here: line ends, quoting, encoding, counting lines. Does not belong here: what the lines say.
"""

import csv
import io
from collections.abc import Sequence

from resources.landing.samples.truth import Fate, LineTruth


class WrittenLines:
    """Collects the lines of one file; a record may have several, `\\n` stands between them."""

    def __init__(self, *, line_end: str = "\n") -> None:
        self._line_end = line_end
        self._texts: list[str] = []
        self._truth: list[LineTruth] = []
        self._next = 1

    @property
    def truth(self) -> tuple[LineTruth, ...]:
        """What is to become of the lines so far."""
        return tuple(self._truth)

    def skip(self, kind: str, text: str = "") -> None:
        """A line that holds no record; `kind` is preamble, header, footer or blank."""
        self._add(text, "skipped", kind)

    def row(self, text: str, *, is_repeated: bool = False) -> None:
        """A sound record."""
        self._add(text, "row", None, is_repeated)

    def reject(self, text: str, rule: str) -> None:
        """A record that breaks `rule`."""
        self._add(text, "reject", rule)

    def encoded(self, encoding: str = "utf-8", *, is_last_ended: bool = True) -> bytes:
        """The bytes of the file; `is_last_ended` says whether its last line has a line end."""
        text = self._line_end.join(self._texts) + (self._line_end if is_last_ended else "")
        return text.encode(encoding)

    def _add(self, text: str, fate: Fate, rule: str | None, is_repeated: bool = False) -> None:
        count = text.count("\n") + 1
        self._texts.append(text)
        self._truth.append(
            LineTruth(line_no=self._next, line_count=count, fate=fate, rule=rule, is_repeated=is_repeated)
        )
        self._next += count


def delimited(cells: Sequence[str], delimiter: str = ",") -> str:
    """The cells as one record without a line end; quoted where that is necessary."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n")
