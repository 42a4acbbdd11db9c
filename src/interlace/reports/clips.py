"""What a model looked at in video files: one clip in all detail, or several on one page."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from interlace.data.video.read import Source, VideoError, VideoInfo, read_frames, video_info
from interlace.data.video.sources import source_name
from interlace.graph.trace import Trace
from interlace.predict.prediction import Prediction, Shown
from interlace.predict.predictor import GRAPH, Predictor
from interlace.reports import ClipReport, explain_graph, save_pictures, write_report
from interlace.reports.explained import verdict
from interlace.reports.explained_regions import gif_if_small
from interlace.visualize import frames_figure, prediction_figure, regions_figure
from interlace.visualize.canvas import Array
from interlace.visualize.choosing import choose
from interlace.visualize.film import boxes_between, draw_film, film_options, inside_of
from interlace.visualize.frames import encode_mp4
from interlace.visualize.view import ClipView, view_clip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 900  # frames of a film; of a longer video it shows every second, third, ... one
LARGEST = 900_000  # bytes of a film of a page on one clip, about
SMALL = (240, 250_000)  # short side in pixels, and bytes, of a film of a page on several
RATE = 12.0  # frames a second where nothing tells it: that of Something-Something's folders
_AT_ONCE = 2**28  # bytes of frames


def explain_video(
    predictor: Predictor, source: Source, out: str | os.PathLike[str], *, label: int | None = None
) -> Path:
    """A page on one video, and pictures/ beside it: what was said, and where nodes looked.

    For every graph of the model the film with the regions of all nodes, at the video's own rate,
    and a picture of each node alone.

    Args:
        predictor: of the model.
        source: one video, as a `Predictor` takes it.
        out: folder for report.html and pictures/.
        label: the true class, where known.

    Returns:
        The path of the page.

    Raises:
        VideoError: the video cannot be read.
    """
    looked = _look(predictor, source, label)
    clip, info, prediction, views = looked.report, looked.info, looked.prediction, looked.views
    clip.above = "The clip"
    clip.text += [_what_was_shown(prediction, info), _graphs_in_words(views)]
    strip = frames_figure(looked.video, numbers=prediction.frames)
    clip.figures["The frames it was shown; darker, what it was not"] = strip
    sections = [clip]
    page = Path(out) / "report.html"
    largest = min(LARGEST, 3 * LARGEST // max(len(views), 1))
    for name, view in views.items():
        film, in_words = _film(source, info, view, largest=largest)
        section = explain_graph(view, film=film)
        section.above, section.title = "Graph", f"After {name}" if name != GRAPH else "The graph"
        section.text.append(in_words)
        section.files |= _own_files(view)
        prefix = re.sub(r"\W+", "_", name).strip("_")
        save_pictures(page.parent / "pictures", section, prefix=f"{prefix}_", photographs=True)
        sections.append(section)
    ((guess, probability),) = prediction.top(1)
    summary = {
        "Prediction": guess,
        "Probability": f"{probability:.1%}",
        "Frames": f"{info.frames:,}",
        "Size": f"{info.width} x {info.height}",
        "Video": prediction.name,
        "Model": predictor.name,
    }
    title = f"What {Path(predictor.name).stem} looks at in {Path(info.name).name}"
    return write_report(page, title=title, summary=summary, figures={}, clips=sections)


def explain_clips(
    predictor: Predictor,
    paths: Sequence[Source],
    labels: Sequence[int | None] | None,
    out: str | os.PathLike[str],
    *,
    title: str = "Clips",
) -> Path:
    """One page on several videos: what was said of each, what it is, and where nodes looked.

    Args:
        predictor: of the model.
        paths: of the videos; what cannot be read is named on the page.
        labels: the true class of each, None where it is not known.
        out: of the page, ends in .html; or a folder, in which it is clips.html.
        title: its headline.

    Returns:
        The path of the page.
    """
    page = Path(out)
    page = page if page.suffix == ".html" else page / "clips.html"
    reports = list(clip_reports(predictor, paths, labels))
    summary = {"Clips": f"{len(reports):,}", "Model": predictor.name}
    return write_report(page, title=title, summary=summary, figures={}, clips=reports)


def clip_reports(
    predictor: Predictor, paths: Sequence[Source], labels: Sequence[int | None] | None = None
) -> Iterator[ClipReport]:
    """The sections of `explain_clips`, for a page of one's own with `write_report`."""
    if labels is not None and len(labels) != len(paths):
        raise ValueError(
            f"labels must be one for each of the {len(paths)} paths, got {len(labels)}; "
            "give None where one is not known"
        )
    for path, label in zip(paths, labels or [None] * len(paths), strict=True):
        try:
            yield _short_report(predictor, path, label)
        except VideoError as error:
            yield ClipReport(f"{Path(source_name(path)).name} cannot be read", [f"{error}."])


def _short_report(predictor: Predictor, source: Source, label: int | None) -> ClipReport:
    """What was said, a small film with the regions of the last graph, all on five frames."""
    looked = _look(predictor, source, label)
    report, name = looked.report, looked.prediction.name
    report.title = f"{Path(name).name}: {report.title[0].lower()}{report.title[1:]}"
    report.text.append(f"{name}: {looked.info.frames:,} frames.")
    short_side, largest = SMALL
    if looked.views:
        graph, last = list(looked.views.items())[-1]
        film, in_words = _film(source, looked.info, last, short_side=short_side, largest=largest)
        report.figures = {f"Regions {_where(graph)} in motion": film, **report.figures}
        report.text.append(in_words)
    for name, view in looked.views.items():
        five = choose(None, view.num_frames, "frames", most=5)
        report.figures[f"Regions {_where(name)}"] = regions_figure(view, frames=five)
    if not looked.views:
        numbers = looked.prediction.frames
        report.figures["The frames it was shown"] = frames_figure(looked.video, numbers=numbers)
    return report


class _Looked(NamedTuple):
    """What a model said of a video, also in words and bars, and what its graphs did."""

    report: ClipReport
    info: VideoInfo
    prediction: Prediction
    video: Tensor  # uint8 (T, 3, H, W), what the model did not see darker
    views: dict[str, ClipView]


def _look(predictor: Predictor, source: Source, label: int | None) -> _Looked:
    info = video_info(source)
    prediction, shown = predictor.look(source)
    title, said = verdict(prediction.scores, predictor.classes, label)
    bars = prediction_figure(prediction.scores, predictor.classes, label=label)
    report = ClipReport(title, [said], {"What it says": bars})
    rows, columns = inside_of(shown.area, *shown.video.shape[2:])
    video = shown.video // 2
    video[..., rows, columns] = shown.video[..., rows, columns]
    views = {name: _placed(video, shown, trace) for name, trace in shown.traces.items()}
    return _Looked(report, info, prediction, video, views)


# --- pictures -----------------------------------------------------------------------------------


def _placed(video: Tensor, shown: Shown, trace: Trace) -> ClipView:
    """A trace on the frames that it is of.

    A network that strides in time has a trace of fewer: each stands for the frames up to the next.
    """
    frames, traced = len(video), trace.boxes.shape[1]
    chosen = [(2 * t + 1) * frames // (2 * traced) for t in range(traced)]
    numbers = [shown.frames[t] for t in chosen]
    return view_clip(trace, video[chosen], area=shown.area, numbers=numbers)


def _film(
    source: Source,
    info: VideoInfo,
    view: ClipView,
    *,
    short_side: int | None = None,
    largest: int = LARGEST,
) -> tuple[bytes, str]:
    """The mp4 of a video with the regions of a graph, and what it shows, in words."""
    speed = -(-info.frames // LONGEST)
    numbers = range(0, info.frames, speed)
    fps = min(info.rate or RATE, 60.0)
    frames = draw_film(
        _frames(source, info, numbers),
        boxes_between(view.spoken_boxes, view.numbers, numbers),
        area=view.area,
        colours=view.colours,
        seen=[number / max(info.frames - 1, 1) for number in view.numbers],
        trail=round(fps / 2),
        short_side=short_side,
    )
    in_words = (
        "The film has the video's own rate. The graph saw the frames that are marked on the line "
        "of time below it; between them regions are drawn on their way to the next."
    )
    if not view.speaks.all():
        in_words += " Nodes are drawn where they speak, and appear and go half way between frames."
    in_words += f" It shows one frame in {speed}." if speed > 1 else ""
    return encode_mp4(frames, fps, film_options(len(numbers), fps, largest)), in_words


def _frames(source: Source, info: VideoInfo, numbers: Sequence[int]) -> Iterator[Array]:
    """Frames, uint8 (H, W, 3), one after the other; as many at once as memory easily holds."""
    at_once = max(16, _AT_ONCE // (3 * info.width * info.height))
    for first in range(0, len(numbers), at_once):
        yield from read_frames(source, numbers[first : first + at_once]).permute(0, 2, 3, 1).numpy()


def _own_files(view: ClipView) -> dict[str, Figure | Array | bytes]:
    """A gif of the frames that were seen, and each node alone."""
    nodes = [] if any(view.names) else view.speakers  # cells of a grid are all alike
    files: dict[str, Figure | Array | bytes] = {
        f"node_{n}": regions_figure(view, nodes=[n]) for n in nodes
    }
    film = draw_film(
        view.frames, view.spoken_boxes, area=view.area, colours=view.colours, short_side=SMALL[0]
    )
    gif = gif_if_small(np.stack(list(film)))
    return files if gif is None else {"regions_frame_by_frame": gif} | files


# --- words --------------------------------------------------------------------------------------


def _what_was_shown(prediction: Prediction, info: VideoInfo) -> str:
    rate = f", {info.rate:.4g} a second" if info.rate else ""
    _, _, rx, ry = prediction.area
    seen = f"{2 * rx:.0%} of the width and {2 * ry:.0%} of the height".replace("%", " %")
    return (
        f"The video has {info.frames:,} frames of {info.width} x {info.height} pixels{rate}. The "
        f"model was shown {len(prediction.frames)} of them, and of these {seen}. Frames are "
        "counted from 0."
    )


def _graphs_in_words(graphs: Collection[str]) -> str:
    if not graphs:
        return "This model has no graph, so there are no regions to show: only its prediction."
    if len(graphs) == 1:
        where = "" if GRAPH in graphs else f" {_where(*graphs)}"
        return f"It has a graph{where}, of which there is a section."
    return f"It has {len(graphs)} graphs: {', '.join(map(_where, graphs))}. Each has a section."


def _where(name: str) -> str:
    return "of the graph" if name == GRAPH else f"after {name}"
