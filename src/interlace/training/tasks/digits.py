"""Training: a plan of phases in one Lightning run that can stop and go on at any step."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from interlace.data.digits.images import load_digits
from interlace.data.digits.syncmnist import VideoBatch
from interlace.evaluation.evaluate import evaluate
from interlace.graph.block import region_weights
from interlace.models.classifier import VideoClassifier
from interlace.models.registry import create_model, input_channels
from interlace.models.weights import load_weights, save_weights
from interlace.record import environment, write_json
from interlace.training.lessons import Loader, Plan, batches, make_plan, make_videos
from interlace.training.loop import EachStep, Logs, Resume, Run, Stage, claim, fit, loggers, quiet
from interlace.training.options import (
    DataOptions,
    ModelOptions,
    RecipeOptions,
    TrainerOptions,
    check_options,
)
from interlace.training.pretrain import DigitPlacement, DigitPresence
from interlace.training.progress import RunProgress
from interlace.training.schedule import cosine

log = logging.getLogger(__name__)


class Training(Run):
    """Fits a classifier to the phases of a plan.

    Args:
        model: what is trained.
        plan: which batch each step sees.
        recipe: how fast to learn.
        pretrained: whether the backbone has learnt before the first video.
    """

    def __init__(
        self, model: VideoClassifier, plan: Plan, recipe: RecipeOptions, *, pretrained: bool
    ):
        super().__init__()
        self.pretrained = pretrained
        self.model = model
        self.plan = plan
        self.stages = plan_stages(plan)
        self.recipe = recipe
        backbone: Any = model.backbone
        self.heads: DigitPlacement | DigitPresence | None = None
        if plan.pretrain_steps:
            classes = plan.phases[0].videos.classes
            if recipe.pretrain_task == "presence":
                self.heads = DigitPresence(backbone.out_channels, classes)
            else:
                self.heads = DigitPlacement(backbone.seen_channels, backbone.out_channels, classes)
        self._plateau_before: dict[str, Any] | None = None
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video)

    def training_step(self, batch: VideoBatch, _: int) -> Tensor:
        phase, _ = self.plan.at(self.global_step)
        if phase.pretrain and self.heads is not None:
            loss, self.seen = self._pretrain(self.heads, batch)
        else:
            if self.pretrained:
                self.model.backbone.eval()  # its batch norms know more frames than a step shows
            boxes = batch.boxes if self.model.needs_boxes else None
            logits = self.model(batch.video, boxes=boxes).float()
            loss = nn.functional.cross_entropy(logits, batch.label)
            right = (logits.argmax(1) == batch.label).float().mean()
            self.seen = {"train/accuracy": right}
        self.seen["train/loss"] = loss.detach()
        if not bool(loss.isfinite()):
            raise ValueError(
                f"the loss is {loss.item()} at step {self.global_step}: lower recipe.lr or "
                "recipe.clip; the last checkpoint is from before"
            )
        return loss

    def _pretrain(
        self, heads: DigitPlacement | DigitPresence, batch: VideoBatch
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        backbone: Any = self.model.backbone
        seen = backbone.see(batch.video.float() / 255)
        features = backbone.locate(seen)
        if isinstance(heads, DigitPresence):
            there = heads(features, batch.classes)
            return there.loss, {"pretrain/exact": there.exact}
        placed = heads(seen, features, batch.boxes, batch.classes)
        return placed.loss, {"pretrain/exact": placed.exact, "pretrain/distance": placed.distance}

    def configure_optimizers(self) -> Any:
        recipe, backbone = self.recipe, list(self.model.backbone.parameters())
        regions = region_weights(self.model)
        ids = {id(p) for p in [*backbone, *regions]}
        others = [p for p in self.parameters() if id(p) not in ids]
        groups = [{"params": part} for part in (others, backbone, regions)]
        if recipe.optimizer == "sgd":
            sgd = torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True)
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                sgd, mode="max", factor=0.1, patience=recipe.patience
            )
            return sgd
        adamw = torch.optim.AdamW(
            groups, lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
        )
        rates = [
            lambda step: self._rate(step, 1.0),
            lambda step: self._rate(step, recipe.backbone_lr),
            lambda step: self._rate(step, recipe.region_lr),
        ]
        schedule = torch.optim.lr_scheduler.LambdaLR(adamw, rates)
        return {
            "optimizer": adamw,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.plateau is not None:
            checkpoint["plateau"] = {
                key: float(value) if key == "best" else value
                for key, value in self.plateau.state_dict().items()
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._plateau_before = checkpoint.get("plateau")

    def on_train_start(self) -> None:
        if self.plateau is not None and self._plateau_before is not None:
            self.plateau.load_state_dict(self._plateau_before)

    def _rate(self, step: int, videos_rate: float) -> float:
        """Learning rate at a step, in units of recipe.lr."""
        first = self.plan.pretrain_steps
        if step < first:
            warmup = max(1, round(0.15 * first))
            return self.recipe.pretrain_lr / self.recipe.lr * cosine(step, first, warmup)
        return videos_rate * cosine(step - first, self.plan.steps - first, self.recipe.warmup)


class Watch(EachStep):
    """Looks at the validation videos now and then, and keeps the best weights.

    Args:
        videos: of the validation split.
        every: steps between looks, after the pre-training.
        folder: where best.safetensors goes.
        card: written into it, with the accuracy.
    """

    def __init__(self, videos: Any, every: int, folder: Path, card: dict[str, Any]):
        self.videos = videos
        self.every = max(1, every)
        self.folder = folder
        self.card = card
        self.best = -1.0

    def after_step(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        seen = trainer.global_step - module.plan.pretrain_steps
        last = trainer.global_step == module.plan.steps
        if not last and (seen <= 0 or seen % self.every):
            return
        result = evaluate(
            module.model,
            batches(self.videos, 100, module.device),
            self.videos.num_classes,
            bf16=trainer.precision == "bf16-mixed",
            regions=True,
        )
        module.seen |= {"validation/accuracy": result.top1, "validation/loss": result.loss}
        if result.regions is not None:
            module.seen["validation/distance"] = result.regions.dist
        if module.plateau is not None:
            module.plateau.step(result.top1)
        if result.top1 > self.best:
            self.best = result.top1
            save_weights(
                module.model,
                self.folder / "best.safetensors",
                card=self.card | {"validation": self.best, "step": trainer.global_step},
            )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def train(
    model: ModelOptions, data: DataOptions, recipe: RecipeOptions, trainer: TrainerOptions
) -> Path:
    """Trains a registered model on synthetic videos; goes on where a killed run stopped.

    Args:
        model: which network.
        data: which videos.
        recipe: how to learn.
        trainer: where and how to run.

    Returns:
        The best weights, a safetensors file in trainer.out.

    Raises:
        ValueError: if the options do not fit together, or the folder holds another run.
        OSError: if the folder cannot be written.
    """
    options = {
        "model": asdict(model),
        "data": asdict(data),
        "recipe": asdict(recipe),
        "trainer": asdict(trainer),
    }
    if input_channels(model.name) != 1:  # also says if there is no such model
        raise ValueError(
            f"{model.name} is for video files: say where they are with --data.path DIR"
        )
    check_options(recipe, trainer)
    places = recipe.pretrain_frames > 0 and recipe.pretrain_task == "placement"
    if places and data.dataset == "MultiSyncMNIST" and not (model.weights or model.backbone):
        raise ValueError(
            "recipe.pretrain_task=placement tells digits apart by their class, and in "
            "MultiSyncMNIST classes repeat: choose presence, or recipe.pretrain_frames=0"
        )
    folder = Path(trainer.out)
    last, best = folder / "last.ckpt", folder / "best.safetensors"
    if claim(folder, options):
        return best
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    L.seed_everything(trainer.seed, verbose=False)
    if model.weights is not None or model.backbone is not None:
        recipe = replace(recipe, pretrain_frames=0)
    digits = load_digits(data.digits, train=True)
    plan = make_plan(data, recipe, digits)
    watched = make_videos(data, digits, split="validation")
    network = create_model(
        model.name,
        num_classes=watched.num_classes,
        weights=None if last.exists() else model.weights,
    )
    if model.backbone is not None and model.weights is None and not last.exists():
        load_weights(network.backbone, model.backbone, name=model.name, part="backbone.")
    if not getattr(network.backbone, "per_frame", False):
        plan = Plan([phase for phase in plan.phases if not phase.pretrain])
    pretrained = plan.pretrain_steps > 0 or bool(model.weights or model.backbone)
    module = Training(network, plan, recipe, pretrained=pretrained)

    card = {"model": model.name, "num_classes": watched.num_classes, "data": asdict(data)}
    progress = RunProgress()
    with quiet():
        loop = L.Trainer(
            default_root_dir=folder,
            accelerator=trainer.device,
            devices=1,
            precision="bf16-mixed" if trainer.precision == "bf16" else "32-true",
            max_steps=plan.steps,
            max_epochs=1,
            gradient_clip_val=recipe.clip,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[
                Watch(watched, trainer.validate_every // recipe.batch_size, folder, card),
                Logs(trainer.log_every),
                progress,
                Resume(last, trainer.save_every),
            ],
            logger=loggers(folder, last),
        )
        loader = Loader(
            lambda step: _batch(plan, step, module.device),
            plan.steps,
            start=lambda: loop.global_step,
        )
        fit(loop, module, loader, last)
    write_json(
        folder / "run.json",
        {"options": options, "seconds": round(progress.seconds, 1), "environment": environment()},
    )
    return best


def plan_stages(plan: Plan) -> list[Stage]:
    """What each phase is called, for people; the experiment's own videos come last."""
    phases = plan.phases
    lessons = sum(not phase.pretrain for phase in phases) - 1
    names: list[str] = []
    for phase in phases:
        number = len(names) - sum(p.pretrain for p in phases) + 1
        names.append(
            "pre-training"
            if phase.pretrain
            else f"lesson {number} of {lessons}"
            if number <= lessons
            else "training"
        )
    return [
        Stage(name, phase.steps, phase.batch_size * phase.videos.num_frames)
        for name, phase in zip(names, phases, strict=True)
    ]


def _batch(plan: Plan, step: int, device: torch.device) -> VideoBatch:
    phase, inner = plan.at(step)
    return phase.batch(inner, device)
