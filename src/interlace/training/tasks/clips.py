"""Training on video files: which videos, what rests, how fast the rest learns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from interlace.data.clips.dataset import Clip, TestViews, TrainingClips
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.order import Order, in_turn
from interlace.data.clips.shape import ClipShape
from interlace.data.clips.transforms import mirrored_labels
from interlace.data.workers import cores
from interlace.models.classifier import VideoClassifier
from interlace.models.detector import BoxDetector, WithDetector
from interlace.models.registry import create_model, input_channels, open_weights
from interlace.training.kick_start import KickStart, freeze_batch_norm, graphs_of, regions_of
from interlace.training.options import Options
from interlace.training.start import start_from
from interlace.training.task import Processes, Stretch, Task
from interlace.training.tasks.clip_lists import HELD_OUT, RunClips, run_clips
from interlace.training.tasks.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
    check_clip_options,
)
from interlace.training.tasks.mixup import mixup


class ClipBatches:
    """What a run reads: clips to learn from, in their order, and those held out.

    Args:
        clips: the videos.
        data: what is shown of them.
        recipe: how many at once, and how often.
        processes: that share each step.
    """

    def __init__(
        self,
        clips: RunClips,
        data: ClipDataOptions,
        recipe: ClipRecipeOptions,
        processes: Processes,
    ):
        if 0 < len(clips.held_out) < processes.world:
            raise ValueError(
                f"{len(clips.held_out)} videos are held out, too few for {processes.world} "
                "processes: hold out more with data.held_out"
            )
        mirrored = mirrored_labels(clips.train.classes) if data.flip else None
        shape = clip_shape(data)
        self.training = TrainingClips(clips.train, shape, seed=data.seed, mirrored=mirrored)
        self.views = TestViews(clips.held_out, shape)
        self.labels = [item.label for item in clips.train.items]
        self.recipe = recipe
        self.seed = data.seed
        self.processes = processes
        self.workers = max(1, cores() - 1) if data.workers is None else data.workers
        self.videos_a_step = recipe.batch_size * recipe.accumulate * processes.world
        self.frames_a_step = self.videos_a_step * data.num_frames
        count = self._order(0).steps
        self.steps = count // recipe.accumulate
        if not self.steps:
            raise ValueError(
                f"recipe.accumulate={recipe.accumulate} batches a step, and the run has only "
                f"{count}: choose fewer"
            )

    def train(self, first: int) -> Iterator[Clip]:
        """Batches to learn from, from one on."""
        pin = torch.cuda.is_available()
        order = self._order(first)
        return iter(clip_loader(self.training, order, num_workers=self.workers, pin_memory=pin))

    def held_out(self) -> DataLoader[Clip]:
        """This process's share of those held out."""
        rank, world = self.processes
        share = in_turn(len(self.views), self.recipe.batch_size, rank=rank, world_size=world)
        return clip_loader(self.views, share, num_workers=self.workers)

    def _order(self, first: int) -> Order:
        return Order(
            len(self.training),
            self.recipe.batch_size,
            self.seed,
            self.recipe.epochs,
            rank=self.processes.rank,
            world_size=self.processes.world,
            start_step=first,
            balance=self.labels if self.recipe.balanced else None,
        )


class ClipTask(Task):
    """Fits a classifier to clips.

    Args:
        model: what is trained.
        recipe: how.
        read: the clips.
        pretrained: whether the backbone has learnt before.
        kick_start: what graphs learn their regions from at first, if from anything.
        detector: what tells the model where to look, if it must be told; it learns nothing.
        class_weights: (num_classes), of the loss; None: all alike.
    """

    recipe: ClipRecipeOptions

    def __init__(
        self,
        model: VideoClassifier,
        recipe: ClipRecipeOptions,
        read: ClipBatches,
        *,
        pretrained: bool,
        kick_start: KickStart | None = None,
        detector: nn.Module | None = None,
        class_weights: Tensor | None = None,
    ):
        stretches = [Stretch("training", read.steps, read.frames_a_step)]
        super().__init__(model, recipe, stretches, videos_a_step=read.videos_a_step)
        self.read = read
        self.pretrained = pretrained
        backbone = model.network
        has_stages = hasattr(backbone, "layer2")
        default = 2 if pretrained and has_stages else 0
        self.frozen = first_stages(backbone, default if recipe.freeze is None else recipe.freeze)
        for module in self.frozen:
            module.requires_grad_(False)
        if pretrained if recipe.freeze_norm is None else recipe.freeze_norm:
            freeze_batch_norm(backbone)
        if kick_start is not None:
            kick_start.check(model)
        self.kick_start = kick_start
        self.looking = model if detector is None else WithDetector(model, detector)
        model.dropout.p = recipe.dropout
        self.class_weights = class_weights

    @staticmethod
    def check(options: Options, processes: Processes) -> None:
        model, data, recipe = options.model, options.data, options.recipe
        if input_channels(model.name) != 3:  # also says if there is no such model
            raise ValueError(
                f"{model.name} is for videos of digits, which need no data.path; for video files "
                "choose one such as tsm_r18_dyreg, see `interlace list`"
            )
        check_clip_options(data, recipe)
        clip_shape(data)
        if processes.world > 1 and data.manifest is None:
            raise ValueError(
                "several processes need to know what is broken before they start: run `interlace "
                f"scan {data.path} --out manifest.csv`, and give data.manifest=manifest.csv"
            )

    @classmethod
    def open(cls, options: Options, processes: Processes) -> ClipTask:
        model, data, recipe = options.model, options.data, options.recipe
        begun = any((options.folder / n).exists() for n in ("last.ckpt", "best.safetensors"))
        clips = run_clips(data, options.folder, begun=begun, write=processes.rank == 0)
        classes = clips.train.classes
        network = make_network(model, len(classes))
        start_from(network, options, classes)
        task = cls(
            network,
            recipe,
            ClipBatches(clips, data, recipe, processes),
            pretrained=model.pretrained,
            kick_start=make_kick_start(model),
            detector=None if model.detector is None else BoxDetector(model.detector),
            class_weights=rarity(clips.train.counts()) if recipe.class_weights else None,
        )
        task.patience = recipe.patience if len(clips.held_out) else None
        videos = options.trainer.validate_every or len(clips.train)
        task.look_every = math.ceil(videos / task.read.videos_a_step)
        task.card = {
            "model": model.name,
            "num_classes": len(classes),
            "classes": list(classes),
            "clips": asdict(clip_shape(data)),
            "data": {"name": "clips", "path": data.path, "held_out": HELD_OUT},
            "seed": options.trainer.seed,
            **({} if model.detector is None else {"detector": model.detector}),
        }
        task.record["clips"] = {
            "train": len(clips.train),
            "held_out": len(clips.held_out),
            "skipped": clips.skipped,
            "fingerprint": clips.fingerprint,
        }
        return task

    def place(self, step: int) -> str:
        seen = step * self.read.videos_a_step
        epoch = min(max(1, math.ceil(seen / len(self.read.training))), self.recipe.epochs)
        return f"epoch {epoch:,} of {self.recipe.epochs:,}"

    def batches(self, first: int, device: torch.device) -> Iterator[Clip]:
        return self.read.train(first)

    def validation_batches(self, device: torch.device) -> tuple[Iterator[Clip], int]:
        loader = self.read.held_out()
        return chain.from_iterable([loader]), len(loader)  # reads when asked, not before

    # --- losses ---------------------------------------------------------------------------------

    def loss(self, batch: Clip, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        for module in self.frozen:
            module.eval()  # what does not learn does not count frames either
        start = self.kick_start
        copied = 0.0 if start is None else start.weight(step, self.steps)
        video, other, share = batch.video, None, 1.0
        if self.recipe.mixup:
            video, other, share = mixup(video, self.recipe.mixup)
        with regions_of(self.model) as regions:
            logits = self.looking.to(video.device)(video).float()
        loss = self._entropy(logits, batch.label)
        if other is not None:
            loss = share * loss + (1 - share) * self._entropy(logits, batch.label[other])
        if start is not None and copied:
            loss = loss + copied * start(video, regions)
        return loss, {"train/accuracy": (logits.argmax(1) == batch.label).float().mean()}

    def _entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits)
        smoothing = self.recipe.label_smoothing
        return nn.functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)

    def look(self, batch: Clip) -> tuple[Tensor, dict[str, Tensor]]:
        count = batch.video.shape[1]
        shown = batch.video.flatten(0, 1)  # (B * V, T, 3, S, S)
        logits = self.looking.to(shown.device)(shown).float()
        views = logits.log_softmax(1).unflatten(0, (-1, count))  # (B, V, num_classes)
        return views.logsumexp(1) - math.log(count), {}

    # --- rates ----------------------------------------------------------------------------------

    def part_rates(self) -> list[float]:
        recipe, default = self.recipe, 0.1 if self.pretrained else 1.0
        backbone = default if recipe.backbone_lr is None else recipe.backbone_lr
        return [1.0, backbone, recipe.region_lr if recipe.optimizer == "adamw" else 1.0]


def clip_shape(data: ClipDataOptions) -> ClipShape:
    """What the options show of a video."""
    return ClipShape(data.num_frames, data.size, data.short_side, data.sampling, data.step)


def rarity(counts: Sequence[int]) -> Tensor:
    """Weights of classes, (num_classes), that make each weigh the same in all: 1 on average.

    Example:
        >>> rarity([1, 4]).tolist()
        [2.5, 0.625]
    """
    number = torch.tensor(counts, dtype=torch.float32)
    return number.sum() / (len(counts) * number)


def make_network(model: ClipModelOptions, num_classes: int) -> VideoClassifier:
    """A fresh network, which looks where it is told only if something tells it."""
    network = create_model(model.name, num_classes=num_classes)
    if network.needs_boxes != (model.detector is not None):
        raise ValueError(
            f"{model.name} is told where to look: say by what with model.detector=coco"
            if network.needs_boxes
            else f"{model.name} finds its regions itself: leave model.detector out"
        )
    return network


def make_kick_start(model: ClipModelOptions) -> KickStart | None:
    """Teachers by the place of their graph, which each has one of."""
    teachers: dict[str, nn.Module] = {}
    for path in model.teachers:
        teacher, _ = open_weights(path)
        places = list(graphs_of(teacher))
        if len(places) != 1 or places[0] in teachers:
            raise ValueError(
                f"model.teachers must each have one graph, at a place of its own; {path} has "
                f"{', '.join(places) or 'none'}"
            )
        teachers[places[0]] = teacher
    return KickStart(teachers) if teachers else None


def first_stages(network: nn.Module, count: int) -> list[nn.Module]:
    """The first stages of a ResNet: its stem, then layer1 and so on.

    Raises:
        ValueError: if it has no such stages.
    """
    if count == 0:
        return []
    names = [name for name, _ in network.named_children()]
    layers = [name for name in names if re.fullmatch(r"layer\d", name)]
    if count > len(layers) + 1 or not layers:
        raise ValueError(
            f"recipe.freeze={count} counts the stages of a ResNet, its stem and "
            f"{', '.join(layers) or 'no layers'}: choose at most {len(layers) + bool(layers)}"
        )
    end = names.index(layers[count - 1]) if count <= len(layers) else len(names)
    return [network.get_submodule(name) for name in names[:end]]
