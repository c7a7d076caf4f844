"""The landing zone as assets and sensors use it.

Belongs here: configuration of the zone. Does not belong here: what happens to a file (`assets_pkg/staging/`).
"""

from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from resources.landing.limits import Limits
from resources.landing.places.place import told
from resources.landing.scratch import scratch_folder
from resources.landing.zone import LandingZone


class LandingResource(dg.ConfigurableResource):
    """Where files are dropped: a folder, or a bucket or any other place fsspec knows."""

    url: str = Field(
        description="root under which landing/, processing/, archive/ and rejected/ lie; no password in it"
    )
    endpoint_url: str = Field(default="", description="an S3-compatible server to ask instead of AWS")
    work_dir: str = Field(description="folder for what is unpacked or spills to disk while a file is read")
    quiet_s: float = Field(default=5.0, ge=0, description="how long a file must stay as it is to count as whole, s")
    retention_days: int = Field(default=0, ge=0, description="days files stay in the archive; 0: for good")
    workers: int = Field(default=2, ge=1, description="files of one run that are read at the same time")

    def zone(self) -> LandingZone:
        """The zone itself.

        Raises:
            SourceUnavailable: neither it nor the work folder can be used now; and errors as `LandingZone`.
        """
        zone = LandingZone(self.url, endpoint_url=self.endpoint_url or None, work_dir=self._work_dir())
        zone.prepare()
        return zone

    @property
    def quiet(self) -> timedelta:
        """`quiet_s` as a duration."""
        return timedelta(seconds=self.quiet_s)

    @property
    def limits(self) -> Limits:
        """How much of a file is read at most; the memory is shared by the files read at the same time."""
        standard = Limits()
        return Limits(memory_bytes=standard.memory_bytes // self.workers)

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for one file, gone afterwards; errors as `scratch_folder`."""
        return scratch_folder(self._work_dir())

    def _work_dir(self) -> Path:
        folder = Path(self.work_dir)
        with told(self.work_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder
