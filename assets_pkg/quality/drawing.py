"""Marks of the pictures of quality: what a flag looks like.

Belongs here: the markers all pictures of quality share. Does not belong here: the style of any picture
(`assets_pkg/drawing.py`), any one picture (`pictures.py`, `file_pictures.py`).
"""

from schemas.timeseries import Flag

MAX_PANELS = 6

MARKS = {
    Flag.SPIKE: ("^", "spike"),
    Flag.OUT_OF_RANGE: ("D", "out of range"),
    Flag.STUCK: ("s", "stuck"),
    Flag.SENTINEL: ("x", "sentinel, no value"),
    Flag.NEGATIVE: ("v", "negative"),
}
"""Marker and name of the flags the report counts; an hour with several wears the first of them."""
IMPUTED = ("o", "imputed")
