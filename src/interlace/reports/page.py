"""A report as one HTML file: pictures inside it, nothing fetched, light and dark."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from interlace.files import writing
from interlace.reports.explained import ClipReport
from interlace.visualize.canvas import ACCENT, GOOD, INK, LINE, MUTED, PHOTOGRAPH, need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inks that have a twin for dark pages; pure black is what matplotlib draws with by default.
_INKS = {
    INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", GOOD: "good", "#000000": "ink",
}  # fmt: skip


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: Mapping[str, str],
    figures: Mapping[str, Figure],
    clips: Sequence[ClipReport],
) -> Path:
    """Writes a page with a summary, figures and explained clips; it needs no other file.

    Args:
        path: of the HTML file; its folder is made. The file appears whole or not at all.
        summary: name -> value, both as they should be read. Short values become large figures
            above the table of the long ones.
        figures: caption -> figure, for the whole evaluation.
        clips: sections, one per clip.

    Returns:
        The path.
    """
    markup = need("markupsafe").Markup  # Jinja2's own: text that is HTML already
    environment = need("jinja2").Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = _unbroken
    environment.tests["narrow"] = _is_narrow
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    page = template.render(
        title=title,
        summary={name: str(value) for name, value in summary.items()},
        figures=figures,
        clips=clips,
        contents="Contents" if any(clip.above for clip in clips) else "Clips",
        picture=lambda picture, caption: markup(_picture(picture, caption)),
    )
    with writing(path) as file:
        file.write_text(page, encoding="utf-8")
    return Path(path)


def _unbroken(text: str) -> str:
    """Keeps "53.8 %" and "K = 0" on one line."""
    return re.sub(r"(\d) %", "\\1\u00a0%", text).replace("K = 0", "K\u00a0=\u00a00")


def _is_narrow(picture: Figure | bytes) -> bool:
    """Whether a picture goes beside the text: animations and half-width figures."""
    return isinstance(picture, bytes) or bool(picture.get_size_inches()[0] < 6)


def _picture(picture: Figure | bytes, caption: str) -> str:
    if not isinstance(picture, bytes):
        return _inline_svg(picture, caption)
    kinds = {b"\x89PNG": "image/png", b"GIF8": "image/gif", b"\xff\xd8\xff": "image/jpeg"}
    encoded = base64.b64encode(picture).decode("ascii")
    for magic, kind in kinds.items():
        if picture.startswith(magic):
            return f'<img alt="{escape(caption)}" src="data:{kind};base64,{encoded}">'
    if picture[4:8] == b"ftyp":
        return f'<video controls loop muted src="data:video/mp4;base64,{encoded}"></video>'
    raise ValueError(
        f"figure {caption!r} must be a Figure or the bytes of a png, gif, jpeg or mp4, got "
        f"{len(picture)} other bytes; read the file with Path.read_bytes()"
    )


def _inline_svg(figure: Figure, caption: str) -> str:
    """A figure as part of the page: its text is text, its inks follow the page's light or dark."""
    import matplotlib

    stream = io.StringIO()
    # Text as text; ids that depend on content only, so equal ids mean equal shapes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "interlace"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    head, rest = svg[svg.index("<svg") :].split(">", 1)
    head = re.sub(r'\s(xmlns(:xlink)?|version|width|height)="[^"]*"', "", head)
    svg = f"{head}>{re.sub(r'<metadata>.*?</metadata>', '', rest, flags=re.S)}"
    svg = re.sub(r' id="(?:figure|axes|patch|text|line2d|matplotlib|xtick|ytick)[^"]*"', "", svg)
    svg = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1var(--font)", svg)
    svg = re.sub(r'<image ([^>]*?)xlink:href="data:image/png;base64,([^"]+)"', _compact, svg)
    for ink, name in _INKS.items():
        svg = re.sub(rf": {ink}(?=[;\"])", f": var(--{name})", svg, flags=re.I)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)


def _compact(found: re.Match[str]) -> str:
    """A picture within a figure: a photograph as jpeg, which has a fifth of the bytes."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(found[2])))
    opaque = picture.convert("RGBA").getchannel("A").getextrema() == (255, 255)
    if not opaque or min(picture.size) < PHOTOGRAPH // 2 or len(found[2]) < 20_000:
        return found[0]
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=80)
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<image class="photo" {found[1]}xlink:href="data:image/jpeg;base64,{encoded}"'
