"""What weights for video files are worth: an evaluation as JSON, a report as a page."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from interlace.data.clips.clip_list import ClipList, check_classes
from interlace.data.clips.dataset import TestViews
from interlace.data.clips.manifest import (
    Entry,
    clips_fingerprint,
    read_manifest,
    without_broken,
)
from interlace.data.clips.opening import SplitName, open_clips
from interlace.data.clips.scan import scan
from interlace.data.clips.shape import ProtocolName
from interlace.data.clips.split import read_list
from interlace.data.labels.class_names import class_names
from interlace.data.labels.something_else import read_objects
from interlace.data.workers import cores
from interlace.evaluation.clip_regions import measure_regions
from interlace.evaluation.clips import ClipScores, evaluate_clips
from interlace.models.detector import WithDetector
from interlace.models.operations import count_operations
from interlace.predict.predictor import Predictor
from interlace.record import environment, write_json
from interlace.reports import write_report
from interlace.reports.clips import clip_reports
from interlace.reports.digits import read_curves
from interlace.training.tasks.clip_lists import HELD_OUT, MANIFEST
from interlace.visualize import confusion_figure, curve_figure

Path_ = str | os.PathLike[str]


def evaluate_weights(
    weights: Path_,
    out: Path_,
    *,
    path: Path_ | None = None,
    labels: Path_ | None = None,
    split: SplitName | None = None,
    classes: Path_ | None = None,
    protocol: ProtocolName = "central",
    manifest: Path_ | None = None,
    skip_bad: bool = False,
    boxes: Path_ | None = None,
    batch_size: int = 4,
    workers: int | None = None,
    bf16: bool = False,
) -> tuple[ClipList, ClipScores]:
    """Classifies all videos of a list by a named protocol, and writes one JSON.

    Args:
        weights: as `interlace train` or `interlace convert` wrote them.
        out: the JSON file.
        path: folder of the videos; None: those that the run of the weights held out.
        labels: what they show, see `open_clips`.
        split: of the folder or the labels.
        classes: a file of their names, in the order of the model's; None: as the weights say.
        protocol: how many views of each, and which.
        manifest: of the folder, from `interlace scan`; None: the run's, else all are decoded once.
        skip_bad: leave videos out that cannot be read; else they are an error.
        boxes: Something-Else's file of where objects are, to measure regions on.
        batch_size: videos at once.
        workers: processes that read; None: one per core that is not busy.
        bf16: whether to autocast to bfloat16.

    Raises:
        ValueError: an option makes no sense, or videos are not of classes that the weights know.
        VideoError: a video cannot be read, or the manifest is of others.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers or 0, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    weights = Path(weights)
    predictor = Predictor(weights, classes=classes, protocol=protocol, bf16=bf16)
    clips, rows = _clips(
        weights, predictor, path, labels=labels, split=split, manifest=manifest, workers=workers
    )
    given = len(clips)
    clips = without_broken(clips, rows, skip=skip_bad)
    check_classes(clips, all_used=False)
    shape, model = predictor.clips, predictor.model
    scores = evaluate_clips(
        model,
        TestViews(clips, shape, protocol=protocol),
        batch_size=batch_size,
        workers=max(1, cores() - 1) if workers is None else workers,
        bf16=bf16,
    )
    chosen = shape.protocol(protocol)
    count = chosen.crops * len(chosen.offsets)
    counted = model.model if isinstance(model, WithDetector) else model
    one = count_operations(counted, (1, shape.num_frames, 3, chosen.size, chosen.size)).total
    record = {
        "model": predictor.card["model"],
        "weights": weights.name,
        "protocol": {
            "name": protocol,
            "views": count,
            "frames": shape.num_frames,
            "size": chosen.size,
            "short_side": chosen.short_side,
            "gflops_a_view": round(one / 1e9, 3),
            "gflops": round(count * one / 1e9, 3),
        },
        "data": {
            "path": str(clips.root),
            "clips": len(clips),
            "skipped": given - len(clips),
            "fingerprint": clips_fingerprint(clips, rows),
        },
        "bf16": bf16,
        **scores.result.as_dict(list(clips.classes)),
        "environment": environment(),
    }
    if boxes is not None:
        objects = read_objects(boxes, videos={PurePosixPath(i.name).stem for i in clips.items})
        regions = measure_regions(predictor, clips, objects)
        record["regions"] = {name: found.as_dict() for name, found in regions.items()}
    write_json(Path(out), record)
    return clips, scores


def _clips(
    weights: Path,
    predictor: Predictor,
    path: Path_ | None,
    *,
    labels: Path_ | None,
    split: SplitName | None,
    manifest: Path_ | None,
    workers: int | None,
) -> tuple[ClipList, list[Entry]]:
    """The videos to evaluate on, and what is known of each."""
    if path is not None:
        if labels is None and predictor.classes == class_names(None, len(predictor.classes)):
            raise ValueError(
                f"{weights} does not say what its classes are called, which is needed to compare "
                "folders with classes: --classes FILE, with their names in the model's order"
            )
        clips = open_clips(path, labels=labels, split=split, classes=predictor.classes)
    else:
        held_out, root = weights.parent / HELD_OUT, predictor.card.get("data", {}).get("path", "")
        if not held_out.exists() or not root:
            raise ValueError(
                f"{weights} does not lie in the folder of its run, with the list of what was held "
                "out: say which videos to evaluate on with --path"
            )
        if not Path(root).is_dir():
            raise ValueError(
                f"the videos of this run were in {root}, which is not there, seen from here: say "
                f"where they are with --path, and --labels {held_out}"
            )
        clips = read_list(held_out, root=root, classes=predictor.classes)
        manifest = manifest or weights.parent / MANIFEST
    if manifest is not None:
        return clips, read_manifest(manifest)
    names = [item.name for item in clips.items]
    return clips, scan(clips.root, names=names, workers=workers)


def write_clip_page(
    weights: Path_,
    page: Path_,
    clips: ClipList,
    scores: ClipScores,
    *,
    worst: int = 6,
    bf16: bool = False,
) -> Path:
    """The report of a run: accuracy, confusion, learning curves, and the worst clips explained.

    Args:
        weights: in the folder of their run.
        page: the HTML file.
        clips: that were held out.
        scores: of the model on them.
        worst: how many clips to explain, those whose true class got the least probability.
        bf16: whether to autocast to bfloat16.
    """
    weights = Path(weights)
    predictor = Predictor(weights, bf16=bf16)
    result = scores.result
    figures: dict[str, Any] = {}
    logs = weights.parent / "logs/csv"
    if curves := read_curves(logs, ("train/accuracy", "validation/accuracy")):
        shown = {name.split("/")[0]: curve for name, curve in curves.items()}
        figures["Accuracy while training"] = curve_figure(
            {"held out" if name == "validation" else name: curve for name, curve in shown.items()},
            xlabel="step",
            ylabel="accuracy",
        )
    figures["Which classes are taken for which"] = confusion_figure(result.confusion, clips.classes)
    rates = result.per_class(clips.classes).items()
    hardest = sorted((rate, name) for name, rate in rates if rate is not None)[:3]
    chosen = scores.worst(worst)
    return write_report(
        page,
        title=f"{predictor.card['model']} on {Path(clips.root).name}",
        summary={
            "Held-out accuracy": f"{result.top1:.1%}",
            "Top-5": f"{result.top5:.1%}",
            "Held-out clips": f"{result.count:,}",
            "Most frequent class": f"{float(result.confusion.sum(1).max()) / result.count:.1%}",
            "Parameters": f"{sum(p.numel() for p in predictor.model.parameters()):,}",
            "Hardest classes": ", ".join(f"{name} {rate:.0%}" for rate, name in hardest),
            "Clips below": f"the {len(chosen)} whose true class got the least probability",
            "Weights": str(weights),
            "Hardware": environment()["hardware"],
        },
        figures=figures,
        clips=list(
            clip_reports(
                predictor,
                [clips.path(index) for index in chosen],
                [clips.items[index].label for index in chosen],
            )
        ),
    )
