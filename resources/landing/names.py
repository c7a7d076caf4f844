"""What the name of a dropped file or folder means, and how it is printed; to everything else a name is data only.

Belongs here: names of datasets, names writers use until they are done, names nobody takes, printing. Does not belong
here: looking at files (`places/`).
"""

import hashlib
import re
import unicodedata

from resources.errors import RejectedFile

DEEPEST = 8
"""How many folders may lie between a dataset's folder and a file."""

MARKER = ".done"
"""`x.csv.done` beside `x.csv` says that its writer is done; it is never data itself."""

SAFE = re.compile(r"[a-z][a-z0-9_]{0,39}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
SUFFIX = re.compile(r"(?:\.[a-z0-9]{1,8}){1,2}$")
TEMPORARY_STARTS = (".", "_", "~$")
TEMPORARY_ENDS = (".tmp", ".part", ".crdownload", ".filepart", "~")
HIDING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories nobody sees, or that turn or break the line they are printed in."""


def dataset_name(folder: str) -> str:
    """The name of the dataset whose files lie in `folder`: `[a-z][a-z0-9_]{0,39}`.

    A folder with such a name keeps it. Any other is lower-cased, everything but letters, digits and `_` becomes `_`,
    and six hex digits of the hash of its whole name are added, so that `Air`, `air` and `a-i-r` stay three datasets.
    """
    if SAFE.fullmatch(folder):
        return folder
    plain = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")
    if not plain[:1].isalpha():
        plain = f"d_{plain}"
    digest = hashlib.sha256(folder.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{plain[:33].rstrip('_')}_{digest}"


def is_temporary(name: str) -> bool:
    """Whether a writer means to rename the file or folder `name` once it is whole."""
    return name.startswith(TEMPORARY_STARTS) or name.lower().endswith(TEMPORARY_ENDS)


def why_not_taken(name: str) -> str | None:
    """Why nothing of the name `name` is taken, or None."""
    if name.isprintable():
        return None
    if CONTROL.search(name):
        return "its name holds a control character (a line break, say): rename it"
    if SURROGATE.search(name):
        return "its name is not UTF-8: rename it"
    return None


def escaped(name: str) -> str:
    """`name` fit to be printed: what is invisible, turns the writing direction or breaks the line is spelled out."""
    return "".join(_spelled(character) for character in name)


def plain_part(name: str) -> str:
    """The end of `name` as at most 120 ASCII letters, digits, `.`, `_` and `-`: part of a name every store takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-120:]


def suffix_of(name: str) -> str:
    """The one or two endings of `name` that say what it holds, such as `.csv.gz`; '' if there are none."""
    found = SUFFIX.search(name.lower())
    return found[0] if found else ""


def parts_of(path: str) -> list[str]:
    """The folders and the name in `path`.

    Raises:
        RejectedFile: `path` (rule `unsafe_path`) is absolute or could lead out of where it starts.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise RejectedFile("unsafe_path", f"{escaped(path)} is no path inside the landing zone: nothing was opened")
    return parts


def _spelled(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character) not in HIDING:
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
