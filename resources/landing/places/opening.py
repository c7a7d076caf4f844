"""Which kind of place an address means.

Belongs here: telling addresses apart. Does not belong here: using a place (`folder.py`, `bucket.py`, ...).
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from resources.errors import ConfigurationError
from resources.landing.places.bucket import SCHEMES, BucketPlace
from resources.landing.places.folder import FolderPlace
from resources.landing.places.fsspec_place import FsspecPlace
from resources.landing.places.place import Place


def place_at(url: str, endpoint_url: str | None, work_dir: Path | None) -> Place:
    """The place at `url`; see `zone.LandingZone` for the arguments.

    Raises:
        ConfigurationError: it is empty, holds a secret, or nobody here can use it.
    """
    if not url:
        raise ConfigurationError("the landing zone needs an address: a folder or a URL")
    parts = urlsplit(url)
    if "://" not in url:
        return FolderPlace(Path(url).absolute())
    if parts.username or parts.password or parts.query:
        raise ConfigurationError("the landing zone's address may hold no user, password or query: name a key otherwise")
    if parts.scheme == "file":
        return FolderPlace(Path(unquote(parts.path)))
    if parts.scheme in SCHEMES:
        return BucketPlace(url, endpoint_url, work_dir)
    return FsspecPlace(url, work_dir)
