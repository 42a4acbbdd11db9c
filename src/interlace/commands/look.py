"""Look at what a model says, and at what it was shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from interlace.commands import Precision, ProtocolName, at_least_one, say, say_result


def explain(
    source: str,
    weights: str | None = None,
    out: str = "runs/explain",
    clips: int = 6,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int | None = None,
    classes: str | None = None,
    precision: Precision = "bf16",
) -> None:
    """Show what a trained model looked at: frames, graph, attention, prediction, in one page.

    Of a video: the film with every node's region, and pictures of each node; of a folder or a list
    the first few on one page. Of weights: videos that their run held out; those of digits that move
    together, right and wrong ones in turn, or the video files that were classified worst.

    Args:
        source: a video, a folder of them, a .txt file with a path a line, a .csv with a column of
            paths; or a weights file.
        weights: for videos, a safetensors file with a card, e.g. best.safetensors of a run.
        out: folder for report.html, and for pictures/ of regions: png or jpg, gif and mp4.
        clips: how many videos of several to explain.
        digits: "mnist", "embedded" or a folder, instead of what the card says.
        num_digits: on screen, instead of what the card says.
        videos: how many held-out videos the accuracy on the page is of; 500 of digits, or all
            files, if left out.
        classes: file of their names, one a line or labels.json, where the card has none.
        precision: "bf16" is autocast to bfloat16.
    """
    if not source.endswith((".safetensors", ".ckpt")):  # of which the weights say what they are
        for name, value in {"digits": digits, "num_digits": num_digits, "videos": videos}.items():
            if value is not None:
                raise ValueError(f"--{name} is not for video files, such as {source}")
        _explain_videos(source, needed(weights, "explain"), out, clips, classes, precision)
        return
    from interlace.models.weights import read_card
    from interlace.reports.held_out import ClipChoice, DigitChoice
    from interlace.reports.run import write_page
    from interlace.reports.trained import (
        evaluation_files,
        open_trained,
        takes_files,
        write_evaluation,
    )

    if weights not in (None, source):
        raise ValueError(f"{source} and {weights} are both weights: name a video and one of them")
    if videos is None and not takes_files(read_card(source)):
        videos = 500
    bf16, path = precision == "bf16", Path(out) / "evaluation.json"
    told = DigitChoice(digits, num_digits, videos)
    trained = open_trained(source, clips=ClipChoice(classes=classes), digits=told, bf16=bf16)
    result = write_evaluation(trained, path, bf16=bf16)
    say_result(result, trained.called, evaluation_files(trained, path))
    title = f"What {Path(source).stem} looks at"
    page = write_page(trained, path.with_name("report.html"), result, title=title, clips=clips)
    say(str(page))


def _explain_videos(
    source: str, weights: str, out: str, clips: int, classes: str | None, precision: Precision
) -> None:
    from interlace.data.video.sources import is_one
    from interlace.predict.predictor import Predictor
    from interlace.reports.clips import explain_clips, explain_video

    at_least_one(clips=clips)
    predictor = Predictor(weights, classes=classes, bf16=precision == "bf16")
    sources = predictor.sources(source)
    page = Path(out, "report.html")
    if is_one(source):
        page = explain_video(predictor, source, out)
    else:
        title = f"What {Path(weights).stem} looks at in {Path(source).name}"
        page = explain_clips(predictor, sources[:clips], None, page, title=title)
    say(str(page))


def predict(
    source: str,
    weights: str | None = None,
    top: int = 5,
    out: str | None = None,
    protocol: ProtocolName = "central",
    format: Literal["text", "json"] = "text",
    classes: str | None = None,
    precision: Precision = "bf16",
) -> None:
    """Classify video files: a line for each, or JSON with where the nodes of graphs looked.

    What cannot be read is named, stops nothing, and ends in exit code 1.

    Args:
        source: a video, a folder of them, a .txt file with a path a line, or a .csv with a column
            of paths.
        weights: a safetensors file with a card, e.g. best.safetensors of a run.
        top: how many classes of each.
        out: a JSON file to write, too.
        protocol: what is averaged: one central square; 3x2 or 11x2 squares and samplings.
        format: of what is printed.
        classes: file of their names, one a line or labels.json, where the card has none.
        precision: "bf16" is autocast to bfloat16.
    """
    from interlace.predict.predictor import Predictor
    from interlace.record import write_json

    at_least_one(top=top)
    weights = needed(weights, "predict")
    predictor = Predictor(weights, classes=classes, protocol=protocol, bf16=precision == "bf16")
    sources = predictor.sources(source)
    said, broken = [], 0
    for prediction in predictor.each(sources):
        said.append(prediction.as_dict(top))
        broken += bool(prediction.error)
        if format == "text":
            say(prediction.as_text(top))
    record = {"weights": weights, "protocol": protocol, "videos": said}
    if format == "json":
        say(json.dumps(record))
    if out is not None:
        write_json(out, record)
    if broken:
        raise ValueError(f"{broken:,} of {len(sources):,} videos cannot be read")


def needed(weights: str | None, command: str) -> str:
    if weights is None:
        raise ValueError(f"{command} needs --weights, a safetensors file such as a run writes")
    return weights
