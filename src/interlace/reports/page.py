"""A report as one HTML file: pictures inside it, nothing fetched, light and dark."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from interlace.files import writing
from interlace.reports.explained import ClipReport
from interlace.visualize.canvas import ACCENT, GOOD, INK, LINE, MUTED
from interlace.visualize.photograph import PHOTOGRAPH

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
    page = _page(title, summary, figures, clips)
    with writing(path) as file:
        file.write_text(page, encoding="utf-8")
    return Path(path)


def _page(
    title: str,
    summary: Mapping[str, str],
    figures: Mapping[str, Figure],
    clips: Sequence[ClipReport],
) -> str:
    values = {name: str(value) for name, value in summary.items()}
    tiles = {name: value for name, value in values.items() if len(value) <= 12}
    rows = {name: value for name, value in values.items() if name not in tiles}
    body = [f"<header><h1>{escape(title)}</h1></header>"]
    if values:
        body.append('<section aria-label="Summary">')
        if tiles:
            cells = "".join(
                f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
                for name, value in tiles.items()
            )
            body.append(f'<dl class="tiles">{cells}</dl>')
        if rows:
            lines = "".join(
                f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
                for name, value in rows.items()
            )
            body.append(f"<table>{lines}</table>")
        body.append("</section>")
    for caption, figure in figures.items():
        body.append(f"<section><h2>{escape(caption)}</h2>{_picture(figure, caption)}</section>")
    if clips:
        links = "".join(
            f'<li><a href="#clip-{n}">{escape(clip.title)}</a></li>' for n, clip in enumerate(clips)
        )
        named = "Contents" if any(clip.above for clip in clips) else "Clips"
        body.append(f'<nav><h2>{named}</h2><ol start="0">{links}</ol></nav>')
    for n, clip in enumerate(clips):
        body.append(f'<section class="clip" id="clip-{n}">')
        above = clip.above or f"Clip {n}"
        body.append(f"<h2><small>{escape(above)}</small>{escape(clip.title)}</h2>")
        beside: list[str] = []
        below: list[str] = []
        for caption, picture in clip.figures.items():
            (beside if _is_narrow(picture) else below).append(
                f"<figure><figcaption>{escape(caption)}</figcaption>"
                f"{_picture(picture, caption)}</figure>"
            )
        text = "".join(f"<p>{_unbroken(escape(paragraph))}</p>" for paragraph in clip.text)
        if beside:
            text = f'<div class="columns"><div>{"".join(beside)}</div><div>{text}</div></div>'
        body.extend([text, *below, "</section>"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n<footer>Made by interlace. Pictures and numbers come from one forward pass each; "
        "this page loads nothing from elsewhere.</footer>\n</main>\n</body>\n</html>\n"
    )


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
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = (
        re.sub(r'\s(xmlns(:xlink)?|version|width|height)="[^"]*"', "", svg[: svg.index(">")])
        + (svg[svg.index(">") :])
    )
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
    opaque = picture.mode == "RGB" or (
        picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255)
    )
    if not opaque or min(picture.size) < PHOTOGRAPH // 2 or len(found[2]) < 20_000:
        return found[0]
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=80)
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<image class="photo" {found[1]}xlink:href="data:image/jpeg;base64,{encoded}"'


_STYLE = """
:root {
  --page: #ffffff; --raised: #f6f8fa; --ink: #1f2328; --muted: #59636e; --line: #d1d9e0;
  --accent: #0969da; --good: #1a7f37;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --raised: #151b23; --ink: #e6edf3; --muted: #9198a1; --line: #30363d;
    --accent: #4493f8; --good: #3fb950;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.6 var(--font); }
main { max-width: 1008px; margin: 0 auto; padding: 56px 24px 40px; }
h1 { font-size: 31px; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 28px; }
h2 { font-size: 21px; line-height: 1.3; letter-spacing: -0.01em; margin: 52px 0 14px; }
h2 small { display: block; font-size: 13px; font-weight: 500; color: var(--muted);
  letter-spacing: 0; }
p { max-width: 74ch; margin: 0 0 12px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.tiles { display: flex; flex-wrap: wrap; gap: 1px;
  margin: 0 0 20px; background: var(--line); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
.tiles div { flex: 1 0 auto; background: var(--raised); padding: 14px 18px; }
.tiles dt { font-size: 13px; color: var(--muted); }
.tiles dd { margin: 2px 0 0; font-size: 23px; font-weight: 600; letter-spacing: -0.01em;
  font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 8px 0; overflow-wrap: anywhere;
  border-bottom: 1px solid var(--line); }
th { width: 190px; font-weight: 500; color: var(--muted); }
nav ol { display: flex; flex-wrap: wrap; gap: 6px 36px; margin: 0; padding-left: 22px; }
.clip { border-top: 1px solid var(--line); margin-top: 52px; }
.clip h2 { margin-top: 36px; }
.columns { display: grid; grid-template-columns: 400px 1fr; gap: 0 44px; }
figure { margin: 0 0 28px; min-width: 0; }
figcaption { font-size: 14px; font-weight: 600; margin: 0 0 10px; }
svg, img, video { display: block; width: 100%; height: auto; }
img { width: auto; max-width: 100%; border-radius: 6px; }
svg image { image-rendering: pixelated; }
svg image.photo { image-rendering: auto; }
svg text { fill: var(--ink); }
footer { margin-top: 64px; padding-top: 16px; border-top: 1px solid var(--line); font-size: 13px;
  color: var(--muted); }
@media (max-width: 800px) { .columns { grid-template-columns: 1fr; } }
@media print { main { max-width: none; } .clip { break-before: page; } }
"""
