"""Video files that a run held out, or others that are to be classified, with the model for them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from interlace.data.clips.clip_list import ClipList, check_classes
from interlace.data.clips.dataset import TestViews
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.manifest import Entry, clips_fingerprint, read_manifest, without_broken
from interlace.data.clips.opening import SplitName, open_clips
from interlace.data.clips.order import in_turn
from interlace.data.clips.scan import scan
from interlace.data.clips.shape import ProtocolName
from interlace.data.clips.split import read_list
from interlace.data.labels.class_names import class_names
from interlace.data.labels.something_else import read_objects
from interlace.data.workers import cores
from interlace.evaluation.evaluate import Evaluation, evaluate
from interlace.evaluation.objects import measure_regions
from interlace.models.detector import WithDetector
from interlace.models.operations import count_operations
from interlace.predict.predictor import Predictor
from interlace.reports.clips import clip_reports
from interlace.reports.explained import ClipReport
from interlace.reports.trained import Path_, Trained
from interlace.training.tasks.clip_lists import HELD_OUT, MANIFEST


class HeldOutClips(Trained):
    """Weights for video files, and a list of videos.

    Args:
        weights: as `interlace train` or `interlace convert` wrote them.
        path: folder of the videos; None: those that the run of the weights held out.
        labels: what they show, see `open_clips`.
        split: of the folder or the labels.
        classes: a file of their names, in the order of the model's; None: as the weights say.
        protocol: how many views of each, and which.
        manifest: of the folder, from `interlace scan`; None: the run's, else all are decoded once.
        skip_bad: leave videos out that cannot be read; else they are an error.
        boxes: Something-Else's file of where objects are, to measure regions on.
        batch_size: videos at once, with all their views.
        workers: processes that read; None: one per core that is not busy.
        bf16: whether to autocast to bfloat16 where clips are explained.

    Raises:
        ValueError: an option makes no sense, or videos are not of classes that the weights know.
        VideoError: a video cannot be read, or the manifest is of others.
    """

    called = "clips"
    choice = "those whose true class got the least probability"

    def __init__(
        self,
        weights: Path,
        *,
        path: Path_ | None,
        labels: Path_ | None,
        split: SplitName | None,
        classes: Path_ | None,
        protocol: ProtocolName,
        manifest: Path_ | None,
        skip_bad: bool,
        boxes: Path_ | None,
        batch_size: int,
        workers: int | None,
        bf16: bool,
    ):
        for name, value, least in (("batch_size", batch_size, 1), ("workers", workers or 0, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.weights, self.protocol, self.marked, self.batch_size = (
            weights, protocol, boxes, batch_size,
        )  # fmt: skip
        self.workers = max(1, cores() - 1) if workers is None else workers
        self.predictor = Predictor(weights, classes=classes, protocol=protocol, bf16=bf16)
        self.model, self.card = self.predictor.model, self.predictor.card
        if path is None:
            clips = _of_run(weights, self.predictor)
            manifest = manifest or weights.parent / MANIFEST
        else:
            clips = _of_folder(weights, self.predictor, path, labels, split)
        self.rows = _rows(clips, manifest, workers)
        self.clips = without_broken(clips, self.rows, skip=skip_bad)
        self.skipped = len(clips) - len(self.clips)
        check_classes(self.clips, all_used=False)
        self.classes = list(self.clips.classes)
        self.about = f"{Path(clips.root).name}, {len(self.classes)} classes"

    def evaluate(self, *, bf16: bool) -> tuple[Evaluation, dict[str, Any]]:
        """All views of every video, as the protocol says, and regions where objects are marked."""
        shape, clips = self.predictor.clips, self.clips
        views = TestViews(clips, shape, protocol=self.protocol)
        batches = in_turn(len(clips), self.batch_size)
        loader = clip_loader(views, batches, num_workers=self.workers)
        result = evaluate(self.model, loader, len(self.classes), bf16=bf16)
        chosen = shape.protocol(self.protocol)
        count = chosen.crops * len(chosen.offsets)
        counted = self.model.model if isinstance(self.model, WithDetector) else self.model
        one = count_operations(counted, (1, shape.num_frames, 3, chosen.size, chosen.size)).total
        about: dict[str, Any] = {
            "protocol": {
                "name": self.protocol,
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
                "skipped": self.skipped,
                "fingerprint": clips_fingerprint(clips, self.rows),
            },
        }
        if self.marked is not None:
            names = {PurePosixPath(item.name).stem for item in clips.items}
            regions = measure_regions(
                self.predictor, clips, read_objects(self.marked, videos=names)
            )
            about["regions"] = {name: found.as_dict() for name, found in regions.items()}
        return result, about

    def explain(self, result: Evaluation, count: int) -> list[ClipReport]:
        """The worst ones."""
        chosen = result.worst(count)
        labels = [self.clips.items[index].label for index in chosen]
        return list(clip_reports(self.predictor, [self.clips.path(k) for k in chosen], labels))


def _of_run(weights: Path, predictor: Predictor) -> ClipList:
    """What the run of the weights held out."""
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
    return read_list(held_out, root=root, classes=predictor.classes)


def _of_folder(
    weights: Path,
    predictor: Predictor,
    path: Path_,
    labels: Path_ | None,
    split: SplitName | None,
) -> ClipList:
    if labels is None and predictor.classes == class_names(None, len(predictor.classes)):
        raise ValueError(
            f"{weights} does not say what its classes are called, which is needed to compare "
            "folders with classes: --classes FILE, with their names in the model's order"
        )
    return open_clips(path, labels=labels, split=split, classes=predictor.classes)


def _rows(clips: ClipList, manifest: Path_ | None, workers: int | None) -> list[Entry]:
    """What is known of each video: as the manifest says, else all are decoded once."""
    if manifest is not None:
        return read_manifest(manifest)
    return scan(clips.root, names=[item.name for item in clips.items], workers=workers)
