"""Video files that a run held out, or others that are to be classified, with the model for them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from interlace.data.clips.clip_list import ClipList, check_classes
from interlace.data.clips.dataset import TestViews
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.manifest import clips_fingerprint, read_manifest, without_broken
from interlace.data.clips.opening import open_clips
from interlace.data.clips.order import in_turn
from interlace.data.clips.scan import scan
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
from interlace.reports.held_out import ClipChoice, Path_, Trained
from interlace.training.tasks.clip_lists import HELD_OUT, MANIFEST


class HeldOutClips(Trained):
    """Weights for video files, as `interlace train` or `interlace convert` wrote them.

    Args:
        weights: a safetensors file with a card.
        choice: which videos, and how they are shown.
        bf16: whether to autocast to bfloat16 where clips are explained.
    """

    called = "clips"
    shown = "those whose true class got the least probability"

    def __init__(self, weights: Path, choice: ClipChoice, *, bf16: bool):
        batch_size, workers = choice.batch_size, choice.workers
        for name, value, least in (("batch_size", batch_size, 1), ("workers", workers or 0, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.weights, self.choice = weights, choice
        self.predictor = Predictor(
            weights, classes=choice.classes, protocol=choice.protocol, bf16=bf16
        )
        self.model, self.card = self.predictor.model, self.predictor.card
        clips, manifest = _listed(weights, self.predictor, choice)
        if manifest is not None:
            self.rows = read_manifest(manifest)
        else:
            names = [item.name for item in clips.items]
            self.rows = scan(clips.root, names=names, workers=workers)
        self.clips = without_broken(clips, self.rows, skip=choice.skip_bad)
        self.skipped = len(clips) - len(self.clips)
        check_classes(self.clips, all_used=False)
        self.names = [str(item) for item in self.clips.items]
        self.classes = list(self.clips.classes)
        self.about = f"{Path(clips.root).name}, {len(self.classes)} classes"

    def evaluate(self, *, bf16: bool) -> tuple[Evaluation, dict[str, Any]]:
        """All views of every video, as the protocol says, and regions where objects are marked."""
        shape, clips = self.predictor.clips, self.clips
        views = TestViews(clips, shape, protocol=self.choice.protocol)
        workers = self.choice.workers
        loader = clip_loader(
            views,
            in_turn(len(clips), self.choice.batch_size),
            num_workers=max(1, cores() - 1) if workers is None else workers,
        )
        result = evaluate(self.model, loader, len(self.classes), bf16=bf16)
        chosen = shape.protocol(self.choice.protocol)
        count = chosen.crops * len(chosen.offsets)
        counted = self.model.model if isinstance(self.model, WithDetector) else self.model
        one = count_operations(counted, (1, shape.num_frames, 3, chosen.size, chosen.size)).total
        about: dict[str, Any] = {
            "protocol": {
                "name": self.choice.protocol,
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
        if self.choice.boxes is not None:
            names = {PurePosixPath(item.name).stem for item in clips.items}
            objects = read_objects(self.choice.boxes, videos=names)
            regions = measure_regions(self.predictor, clips, objects)
            about["regions"] = {name: found.as_dict() for name, found in regions.items()}
        return result, about

    def explain(self, result: Evaluation, count: int) -> list[ClipReport]:
        """The worst ones."""
        chosen = result.worst(count)
        labels = [self.clips.items[index].label for index in chosen]
        return list(clip_reports(self.predictor, [self.clips.source(k) for k in chosen], labels))


def _listed(
    weights: Path, predictor: Predictor, choice: ClipChoice
) -> tuple[ClipList, Path_ | None]:
    """The videos, and the manifest that tells of them, if there is one."""
    if choice.path is not None:
        if choice.labels is None and predictor.classes == class_names(None, len(predictor.classes)):
            raise ValueError(
                f"{weights} does not say what its classes are called, which is needed to compare "
                "folders with classes: --classes FILE, with their names in the model's order"
            )
        classes = predictor.classes
        clips = open_clips(choice.path, labels=choice.labels, split=choice.split, classes=classes)
        return clips, choice.manifest
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
    if not len(clips):
        raise ValueError(
            f"the run of {weights} learned from all its videos: say which others to evaluate on "
            "with --path"
        )
    return clips, choice.manifest or weights.parent / MANIFEST
