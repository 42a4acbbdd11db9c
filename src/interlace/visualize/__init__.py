"""Pictures of what a graph saw and said: figures, gifs and mp4s.

Everything is drawn from `interlace.graph.trace.Trace` and plain arrays, with matplotlib's objects
only: no window, no global state. `view_clip` takes a clip out of a trace and checks it; what a
graph did is drawn from that. Pictures need `pip install "interlace[plot]"`.

Example:
    >>> import torch
    >>> from interlace.visualize import draw_clip
    >>> draw_clip(torch.zeros(10, 1, 64, 64, dtype=torch.uint8)).shape
    (10, 256, 256, 3)
"""

from interlace.visualize.charts import confusion_figure, curve_figure, prediction_figure
from interlace.visualize.frames import draw_clip, frames_figure, gif_bytes, save_gif, save_mp4
from interlace.visualize.graph import animate, graph_figure
from interlace.visualize.heatmaps import attention_figure, kernels_figure
from interlace.visualize.paths import paths_figure
from interlace.visualize.regions import animate_regions, regions_figure, sizes_figure
from interlace.visualize.view import ClipView, view_clip

__all__ = [
    "ClipView",
    "animate",
    "animate_regions",
    "attention_figure",
    "confusion_figure",
    "curve_figure",
    "draw_clip",
    "frames_figure",
    "gif_bytes",
    "graph_figure",
    "kernels_figure",
    "paths_figure",
    "prediction_figure",
    "regions_figure",
    "save_gif",
    "save_mp4",
    "sizes_figure",
    "view_clip",
]
