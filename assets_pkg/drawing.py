"""The style all pictures share: size, colours, marks, and the words that stand in them.

Belongs here: a blank figure, a figure as PNG, and a PNG inside Markdown. Does not belong here: any one picture (the
`pictures.py` of a layer), marks that mean something in one layer only.
"""

import base64
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX = 800

DPI = 100
WIDTH_IN = WIDTH_PX / DPI
LEFT = 0.105
"""Left edge of all panels, as a share of the width: room for the longest tick label and the unit."""
RIGHT = 0.975
INK, SOFT, FAINT, OTHERS, NO_VALUE = "#222222", "#666666", "#E8E8E8", "#BDBDBD", "#C8C8C8"

LINE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito, Color Universal Design (2008), without its black (marks) and its yellow (too pale on white)."""


def blank_figure(height_in: float, title: str, words: str) -> "Figure":
    """A blank white figure with its own canvas, a title and a line below it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(LEFT, 1 - 0.14 / height_in, title, va="top", fontsize=12, fontweight="bold", color=INK)
    figure.text(LEFT, 1 - 0.40 / height_in, words, va="top", fontsize=9, color=SOFT)
    return figure


def png(figure: "Figure") -> bytes:
    """The figure as PNG without metadata; 64 colours suffice here and make it less than half as large."""
    from PIL import Image

    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]  # type: ignore[attr-defined]
    out = io.BytesIO()
    Image.fromarray(pixels).quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def soften(axes: "Axes") -> None:
    """Frame, ticks and labels in the background."""
    axes.tick_params(labelsize=8.5, labelcolor=SOFT, color=OTHERS, length=3)
    for spine in axes.spines.values():
        spine.set_color(OTHERS)


def listed(names: Iterable[object]) -> str:
    """The first four names, and how many more there are."""
    every = [str(name) for name in names]
    return ", ".join(every[:4]) + (f" and {len(every) - 4} more" if len(every) > 4 else "")


def percent(value: float | None) -> str:
    """A percentage rounded down, so that only a perfect one reads 100 %; n/a if unknown."""
    return "n/a" if value is None or pd.isna(value) else f"{np.floor(value):.0f} %"


def plain(text: str) -> str:
    """A name from the data as Matplotlib can draw it: short, in glyphs its font has, and never read as mathematics."""
    latin = text[:24].encode("latin-1", "replace").decode("latin-1")
    return "".join(letter if letter.isprintable() else "?" for letter in latin).replace("$", r"\$")


def as_markdown(png: bytes, alt: str) -> str:
    """The picture as Markdown that carries it inside: `![alt](data:image/png;base64,...)`."""
    return f"![{escaped(alt)}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


def svg_as_markdown(svg: str, alt: str) -> str:
    """As `as_markdown`, of a picture in SVG."""
    return f"![{escaped(alt)}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')})"


def escaped(text: str) -> str:
    """The text as it stands, on one line, inside a Markdown table or the brackets of an image."""
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", " ".join(text.split()))
