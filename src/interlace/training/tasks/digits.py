"""Training on synthetic videos: pre-training on frames, lessons, the experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from interlace.data.digits.datasets import DATASETS, make_videos
from interlace.data.digits.images import load_digits
from interlace.data.digits.moving import MovingDigits, VideoBatch
from interlace.evaluation.region_metrics import RegionMeter
from interlace.graph.regions.content import ContentRegions, content_maps
from interlace.graph.regions.objects import ObjectRegions
from interlace.models.backbones.frozen import Frozen
from interlace.models.classifier import VideoClassifier, given
from interlace.models.registry import create_model, input_channels
from interlace.training.lessons import Plan, make_plan
from interlace.training.optimizer import cosine, warmup_steps
from interlace.training.options import Options
from interlace.training.pretrain import DigitPlacement, DigitPresence, jitter
from interlace.training.start import start_from
from interlace.training.task import Processes, Task
from interlace.training.tasks.digit_options import DigitRecipeOptions, check_digit_options

LOOK_EVERY = 10_000  # videos, if the options do not say
PRETRAIN_FRAMES = 600_000  # as many as RSTG has videos


class DigitTask(Task):
    """Fits a classifier to the phases of a plan.

    Args:
        model: what is trained.
        plan: which batch each step sees.
        recipe: how fast to learn.
        pretrained: whether the backbone has learnt before the first video.
        watched: validation videos.
    """

    betas = (0.9, 0.99)
    nesterov = True
    recipe: DigitRecipeOptions

    def __init__(
        self,
        model: VideoClassifier,
        plan: Plan,
        recipe: DigitRecipeOptions,
        *,
        pretrained: bool,
        watched: MovingDigits,
    ):
        own = plan.phases[-1]
        self.processes = own.processes
        videos = recipe.batch_size * recipe.accumulate * self.processes.world
        super().__init__(model, recipe, plan.stretches(), videos_a_step=videos)
        self.plan = plan
        self.pretrained = pretrained
        self.watched = watched
        self.frozen: Frozen | None = None
        self.compiled = False
        if plan.pretrain_steps or recipe.backbone_lr == 0:  # uses the backbone alone, or freezes it
            self.strategy = "ddp_find_unused_parameters_true"
        if plan.pretrain_steps:
            backbone: Any = model.network
            classes, channels = plan.phases[0].videos.classes, backbone.out_channels
            self.heads = (
                DigitPresence(_own_maps(model, classes) or content_maps(channels, classes))
                if recipe.pretrain_task == "presence"
                else DigitPlacement(backbone.seen_channels, backbone.out_channels, classes)
            )

    @staticmethod
    def check(options: Options, processes: Processes) -> None:
        model, data, recipe = options.model, options.data, stated(options)
        if input_channels(model.name) != 1:  # also says if there is no such model
            raise ValueError(
                f"{model.name} is for video files: say where they are with --data.path DIR"
            )
        check_digit_options(recipe, recipe.batch_size * recipe.accumulate * processes.world)
        places = bool(recipe.pretrain_frames) and recipe.pretrain_task == "placement"
        repeat = getattr(DATASETS[data.name], "classes_repeat", False)
        if places and repeat:
            raise ValueError(
                "recipe.pretrain_task=placement tells digits apart by their class, and in "
                f"{data.name} classes repeat: choose presence, or recipe.pretrain_frames=0"
            )

    @classmethod
    def open(cls, options: Options, processes: Processes) -> DigitTask:
        model, data, recipe = options.model, options.data, stated(options)
        digits = load_digits(data.digits, train=True)
        plan = make_plan(data, recipe, digits, processes)
        watched = make_videos(data, digits, split="validation")
        network = create_model(model.name, num_classes=watched.num_classes)
        start_from(network, options)
        if not getattr(network.network, "per_frame", False):
            plan = Plan([phase for phase in plan.phases if not phase.pretrain])
        pretrained = plan.pretrain_steps > 0 or model.pretrained
        task = cls(network, plan, recipe, pretrained=pretrained, watched=watched)
        videos = recipe.batch_size * recipe.accumulate * processes.world
        task.look_every = max(1, (options.trainer.validate_every or LOOK_EVERY) // videos)
        task.compiled = options.trainer.compiled
        task.card = {
            "model": model.name,
            "num_classes": watched.num_classes,
            "data": asdict(data),
            "seed": options.trainer.seed,
        }
        return task

    @property
    def first_look(self) -> int:
        return self.plan.pretrain_steps

    # --- batches --------------------------------------------------------------------------------

    def batches(self, first: int, device: torch.device) -> Iterator[VideoBatch]:
        for number in range(first, self.steps * self.recipe.accumulate):
            yield self.batch(number, device)

    def batch(self, number: int, device: torch.device) -> VideoBatch:
        """Made where it is used: it costs too little for a process of its own."""
        step, part = divmod(number, self.recipe.accumulate)
        phase, inner = self.plan.at(step)
        return phase.batch(inner, part, device)

    def validation_batches(self, device: torch.device) -> tuple[Iterator[VideoBatch], int]:
        rank, world = self.processes
        indices = torch.arange(rank, len(self.watched), world).split(100)
        return (self.watched.batch(one, device=device) for one in indices), len(indices)

    # --- losses ---------------------------------------------------------------------------------

    def loss(self, batch: VideoBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        phase, _ = self.plan.at(step)
        if phase.pretrain:
            return self._pretrain(batch)
        if self.pretrained:
            self.model.network.eval()  # its batch norms know more frames than a step shows
        boxes = batch.boxes if self.model.needs_boxes else None
        frames = self.recipe.every_frame
        if self.recipe.backbone_lr == 0:
            features = self._frozen_network(batch.video.device)(batch.video)
            logits = self.model.classify(features, boxes=boxes, every_frame=frames).float()
        else:
            logits = self.model(batch.video, boxes=boxes, every_frame=frames).float()
        logits = logits if frames else logits[:, None]  # (B, T or 1, classes)
        right = (logits[:, -1].argmax(1) == batch.label).float().mean()
        return loss_of_frames(logits, batch.label), {"train/accuracy": right}

    def _frozen_network(self, device: torch.device) -> Frozen:
        """What sees the frames once it learns no more, as exactly as the rest of the model."""
        if self.frozen is None:
            self.model.network.requires_grad_(False)
            half = torch.is_autocast_enabled(device.type)
            dtype = torch.bfloat16 if half else torch.float32
            self.frozen = Frozen(self.model.backbone, dtype=dtype, compiled=self.compiled)
        return self.frozen

    def _pretrain(self, batch: VideoBatch) -> tuple[Tensor, dict[str, Tensor]]:
        backbone: Any = self.model.network
        video = batch.video.float() / 255
        seen = backbone.see(jitter(video) if self.recipe.pretrain_jitter else video)
        features = backbone.locate(seen)
        if isinstance(self.heads, DigitPresence):
            there = self.heads(features, batch.classes)
            return there.loss, {"pretrain/exact": there.exact}
        assert self.heads is not None
        placed = self.heads(seen, features, batch.boxes, batch.classes)
        return placed.loss, {"pretrain/exact": placed.exact, "pretrain/distance": placed.distance}

    def look(self, batch: VideoBatch) -> tuple[Tensor, dict[str, Tensor]]:
        boxes = given(batch.boxes if self.model.needs_boxes else None)
        logits, trace = self.model(batch.video, return_trace=True, **boxes)
        shown = {}
        if trace is not None and batch.boxes.numel() > 0:
            meter = RegionMeter()
            meter.add(trace.boxes, batch.boxes, trace.mass)
            shown["distance"] = torch.tensor(meter.result().dist)
        return logits.float().log_softmax(1), shown

    # --- rates ----------------------------------------------------------------------------------

    def part_rates(self) -> list[float]:
        return [1.0, self.recipe.backbone_lr, self.recipe.region_lr]  # "sgd" trains all alike

    def rate(self, step: int, part: float) -> float:
        first = self.plan.pretrain_steps
        if step < first:
            warmup = max(1, round(0.15 * first))
            return self.recipe.pretrain_lr / self.lr * cosine(step, first, warmup)
        steps = self.steps - first
        return part * cosine(step - first, steps, warmup_steps(self.recipe, steps))

    def plateau(self) -> int | None:
        return self.recipe.plateau if self.recipe.optimizer == "sgd" else None


def stated(options: Options) -> DigitRecipeOptions:
    """The recipe with the frames of its pre-training, where it leaves them out."""
    recipe: DigitRecipeOptions = options.recipe
    if recipe.pretrain_frames is not None:
        return recipe
    return replace(recipe, pretrain_frames=0 if options.model.pretrained else PRETRAIN_FRAMES)


def loss_of_frames(logits: Tensor, label: Tensor) -> Tensor:
    """Cross entropy of what was said after each frame, in proportion to how many had been seen.

    Args:
        logits: (B, T, classes).
        label: int64 (B,).
    """
    frames = logits.shape[1]
    count = torch.arange(1.0, frames + 1, device=logits.device)
    loss = nn.functional.cross_entropy(
        logits.flatten(0, 1), label.repeat_interleave(frames), reduction="none"
    )
    return (loss.unflatten(0, (-1, frames)) @ (count / count.sum())).mean()


def _own_maps(model: VideoClassifier, classes: int) -> nn.Module | None:
    """The maps that a graph of the model reads, if they are of the digits' classes."""
    for module in model.modules():
        if isinstance(module, ContentRegions | ObjectRegions):
            if module.maps.out_channels != classes:
                raise ValueError(
                    f"the graph has maps for {module.maps.out_channels} kinds of digits, and there "
                    f"are {classes}: choose data.classes={module.maps.out_channels}, or "
                    "recipe.pretrain_frames=0"
                )
            return module.maps
    return None
