"""What the catalog remembers of a file, in the words of the landing zone.

Belongs here: from a `KnownFile` to its snapshot and its place. Does not belong here: looking, copying, moving.
"""

from resources.catalog.files import KnownFile
from resources.landing.files_seen import Seen
from resources.landing.zone import Snapshot


def snapshot_of(file: KnownFile) -> Snapshot:
    """The copy that was taken of the file."""
    return Snapshot(
        dataset=file.dataset,
        sha256=file.sha256,
        size=file.file_size_bytes,
        taken_at=file.arrived_at,
        content_changed=False,
    )


def place_of(file: KnownFile) -> Seen:
    """Stands for a file that is no longer where it was dropped, when a run that was killed is completed."""
    folder, _, path = file.file_path.removeprefix("landing/").partition("/")
    return Seen(
        dataset=file.dataset,
        folder=folder,
        path=path,
        size=-1,
        modified_at=file.arrived_at,
        version="",
        has_marker=False,
    )


def is_archived(file: KnownFile) -> bool:
    """Whether the file was loaded and its bytes are in the archive; so it is while it is read again."""
    return (file.archive_path or "").startswith("archive/")
