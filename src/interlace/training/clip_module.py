"""What a training on video files fits: the loss, what rests, and how fast the rest learns."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from interlace.data.clips.dataset import Clip
from interlace.models.classifier import VideoClassifier
from interlace.models.detector import WithDetector
from interlace.models.insertion.interlaced import Interlaced
from interlace.training.clip_options import (
    ClipRecipeOptions,
)
from interlace.training.kick_start import KickStart, freeze_batch_norm, regions_of
from interlace.training.loop import Run, Stage
from interlace.training.schedule import cosine

LR_BATCH = 32  # clips a step that recipe.lr is for


class ClipTraining(Run):
    """Fits a classifier to clips.

    Args:
        model: what is trained.
        recipe: how.
        steps: of the optimiser, in the whole run.
        clips_a_step: of all processes together.
        frames: of a clip.
        pretrained: whether the backbone has learnt before.
        kick_start: what graphs learn their regions from at first, if from anything.
        detector: what tells the model where to look, if it must be told; it learns nothing.
    """

    def __init__(
        self,
        model: VideoClassifier,
        recipe: ClipRecipeOptions,
        *,
        steps: int,
        clips_a_step: int,
        frames: int,
        pretrained: bool,
        kick_start: KickStart | None = None,
        detector: nn.Module | None = None,
    ):
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.steps = steps
        self.stages = [Stage("training", steps, clips_a_step * frames)]
        self.lr = recipe.lr * clips_a_step / LR_BATCH
        default = 0.1 if pretrained else 1.0
        self.backbone_lr = default if recipe.backbone_lr is None else recipe.backbone_lr
        self.freeze_norm = pretrained if recipe.freeze_norm is None else recipe.freeze_norm
        self.backbone = backbone_of(model)
        has_stages = hasattr(self.backbone, "layer2")
        default_freeze = 2 if pretrained and has_stages else 0
        frozen = default_freeze if recipe.freeze is None else recipe.freeze
        self.frozen = first_stages(self.backbone, frozen)
        for module in self.frozen:
            module.requires_grad_(False)
        if self.freeze_norm:
            freeze_batch_norm(self.backbone)
        if kick_start is not None:
            kick_start.check(model)
        self.kick_start = kick_start
        # in a tuple, so that it is in no checkpoint and no optimiser
        self.shown = (model if detector is None else WithDetector(model, detector),)
        model.dropout.p = recipe.dropout

    def looking(self) -> nn.Module:
        """The model, with what tells it where to look."""
        return self.shown[0].to(self.device)

    def training_step(self, clip: Clip, _: int) -> Tensor:
        for module in self.frozen:
            module.eval()  # what does not learn does not count frames either
        start = self.kick_start
        copied = 0.0 if start is None else start.weight(self.global_step, self.steps)
        with regions_of(self.model) as regions:
            logits = self.looking()(clip.video).float()
        loss = nn.functional.cross_entropy(logits, clip.label)
        if start is not None and copied:
            loss = loss + copied * start(clip.video, regions)
        right = (logits.argmax(1) == clip.label).float().mean()
        self.seen = {"train/accuracy": right, "train/loss": loss.detach()}
        if not bool(loss.isfinite()):
            raise ValueError(
                f"the loss is {loss.item()} at step {self.global_step}: lower recipe.lr or "
                "recipe.clip; the last checkpoint is from before"
            )
        return loss

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        inside = {id(p) for p in self.backbone.parameters()}
        learning = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learning if id(p) not in inside], "lr": self.lr},
            {
                "params": [p for p in learning if id(p) in inside],
                "lr": self.lr * self.backbone_lr,
            },
        ]
        groups = [group for group in groups if group["params"]]
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=recipe.weight_decay)
        else:
            optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        warmup = round(recipe.warmup * self.steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine(step, self.steps, warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def backbone_of(model: VideoClassifier) -> nn.Module:
    """The network that graphs were put into."""
    return model.body.network if isinstance(model.body, Interlaced) else model.backbone


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
