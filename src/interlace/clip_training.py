"""Training on video files: from a folder of clips to weights, in one process or in many."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from interlace.clip_evaluation import classify
from interlace.clip_lists import HELD_OUT, run_clips
from interlace.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
    ClipTrainerOptions,
    check_clip_options,
)
from interlace.data.clip_shape import ClipShape
from interlace.data.clips import Clip, Order, TestViews, TrainingClips, clip_loader, in_turn
from interlace.data.scan import cores
from interlace.data.transforms import mirrored_labels
from interlace.evaluate import Evaluation, Tally
from interlace.models.backbone_weights import load_backbone
from interlace.models.classifier import VideoClassifier
from interlace.models.detector import BoxDetector, WithDetector
from interlace.models.distill import KickStart, freeze_batch_norm, graphs_of, regions_of
from interlace.models.interlaced import Interlaced
from interlace.models.registry import create_model, input_channels, open_weights
from interlace.models.weights import load_weights, save_weights
from interlace.progress import RunProgress
from interlace.record import environment, write_json
from interlace.run import EachStep, Logs, Resume, Run, Stage, claim, fit, loggers, quiet
from interlace.schedule import cosine

log = logging.getLogger(__name__)

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


class Watch(EachStep):
    """After each epoch, a look at the videos held out; keeps the best weights, and stops in time.

    Args:
        views: of the videos held out.
        every: steps of an epoch.
        patience: epochs without a better accuracy after which to stop.
        batch_size: clips at once.
        workers: processes that read.
        folder: where best.safetensors goes.
        card: written into it, with the accuracy.
    """

    def __init__(
        self,
        views: TestViews,
        *,
        every: int,
        patience: int,
        batch_size: int,
        workers: int,
        folder: Path,
        card: dict[str, Any],
    ):
        self.views = views
        self.every = every
        self.patience = patience
        self.batch_size = batch_size
        self.workers = workers
        self.folder = folder
        self.card = card
        self.best = -1.0
        self.since = 0

    def after_step(  # type: ignore[override]
        self, trainer: L.Trainer, module: ClipTraining
    ) -> None:
        step = trainer.global_step
        if step % self.every and step != trainer.max_steps:
            return
        result = self._look(trainer, module)
        module.seen |= {"validation/accuracy": result.top1, "validation/loss": result.loss}
        self.since = 0 if result.top1 > self.best else self.since + 1
        if result.top1 > self.best:
            self.best = result.top1
            if trainer.is_global_zero:
                card = self.card | {"validation": self.best, "step": step}
                save_weights(module.model, self.folder / "best.safetensors", card=card)
        if self.since >= self.patience and step != trainer.max_steps:
            log.info(f"stops: no better for {self.patience} epochs")
            trainer.should_stop = True

    def _look(self, trainer: L.Trainer, module: ClipTraining) -> Evaluation:
        """At all of them, each in one of the processes."""
        tally = Tally(module.model.num_classes)
        share = in_turn(
            len(self.views),
            self.batch_size,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        loader = clip_loader(self.views, share, num_workers=self.workers)
        bf16 = trainer.precision == "bf16-mixed"
        for clip, scores in classify(module.looking(), loader, bf16=bf16):
            tally.add(scores, clip.label)
        counts = tally.counts.float().to(module.device)
        tally.counts = trainer.strategy.reduce(counts, reduce_op="sum").double().cpu()
        return tally.result()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.since = state_dict["best"], state_dict["since"]


class Batches:
    """The run's batches from the step on that it has made, as Lightning wants them.

    Args:
        clips: to learn from.
        order: of the whole run.
        workers: processes that read.
    """

    def __init__(self, clips: TrainingClips, order: Order, *, workers: int):
        self.clips = clips
        self.order = order
        self.workers = workers

    def __len__(self) -> int:
        return self.order.steps  # Lightning counts those made before, too

    def __iter__(self) -> Iterator[Clip]:
        pin = torch.cuda.is_available()
        yield from clip_loader(self.clips, self.order, num_workers=self.workers, pin_memory=pin)


def train_clips(
    model: ClipModelOptions,
    data: ClipDataOptions,
    recipe: ClipRecipeOptions,
    trainer: ClipTrainerOptions,
) -> Path:
    """Trains a registered model on video files; goes on where a killed run stopped.

    Args:
        model: which network.
        data: which videos.
        recipe: how to learn.
        trainer: where and how to run.

    Returns:
        The best weights, a safetensors file in trainer.out.

    Raises:
        ValueError: if the options or the videos do not fit together, or the folder holds another
            run.
        OSError: if the folder cannot be written.
    """
    options = {
        "model": asdict(model),
        "data": asdict(data),
        "recipe": asdict(recipe),
        "trainer": asdict(trainer),
    }
    if input_channels(model.name) != 3:  # also says if there is no such model
        raise ValueError(
            f"{model.name} is for videos of digits, which need no data.path; for video files "
            "choose one such as tsm_r18_dyreg, see `interlace list`"
        )
    check_clip_options(data, recipe, trainer)
    shape = clip_shape(data)
    folder = Path(trainer.out)
    last, best = folder / "last.ckpt", folder / "best.safetensors"
    rank, first = process_rank(), is_first()
    devices, nodes = processes(trainer)
    if claim(folder, options, write=first):
        return best
    if devices * nodes > 1 and data.manifest is None:
        raise ValueError(
            "several processes need to know what is broken before they start: run `interlace scan "
            f"{data.path} --out manifest.csv`, and give data.manifest=manifest.csv"
        )
    if trainer.device == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer.device=gpu, and there is none: choose auto or cpu")
    workers = max(1, cores() - 1) if data.workers is None else data.workers
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    L.seed_everything(trainer.seed, verbose=False)
    clips = run_clips(data, folder, begun=last.exists() or best.exists(), write=first)
    classes = clips.train.classes
    network = make_network(model, len(classes), fresh=not last.exists())

    order = Order(
        len(clips.train),
        recipe.batch_size,
        data.seed,
        recipe.epochs,
        rank=rank,
        world_size=devices * nodes,
        start_step=lambda: loop.global_step * recipe.accumulate,
    )
    clips_a_step = recipe.batch_size * recipe.accumulate * devices * nodes
    steps = order.steps // recipe.accumulate
    if steps < 1:
        raise ValueError(
            f"recipe.accumulate={recipe.accumulate} batches a step, and the run has only "
            f"{order.steps}: choose fewer"
        )
    module = ClipTraining(
        network,
        recipe,
        steps=steps,
        clips_a_step=clips_a_step,
        frames=shape.num_frames,
        pretrained=bool(model.backbone or model.weights),
        kick_start=make_kick_start(model),
        detector=None if model.detector is None else BoxDetector(model.detector),
    )
    mirrored = mirrored_labels(classes) if data.flip else None
    shown = TrainingClips(clips.train, shape, seed=data.seed, mirrored=mirrored)
    watch = Watch(
        TestViews(clips.held_out, shape),
        every=math.ceil(len(clips.train) / clips_a_step),
        patience=recipe.patience,
        batch_size=recipe.batch_size,
        workers=workers,
        folder=folder,
        card={
            "model": model.name,
            "num_classes": len(classes),
            "classes": list(classes),
            "clips": asdict(shape),
            "data": {"path": data.path, "held_out": HELD_OUT},
            **({} if model.detector is None else {"detector": model.detector}),
        },
    )
    callbacks: list[Any] = [watch, Logs(trainer.log_every), Resume(last, trainer.save_every)]
    progress = RunProgress()
    if first:
        callbacks.append(progress)
    with quiet():
        loop = L.Trainer(
            default_root_dir=folder,
            accelerator=trainer.device,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            sync_batchnorm=devices * nodes > 1 and torch.cuda.is_available(),
            use_distributed_sampler=False,
            precision="bf16-mixed" if trainer.precision == "bf16" else "32-true",
            max_steps=steps,
            max_epochs=1,
            accumulate_grad_batches=recipe.accumulate,
            gradient_clip_val=recipe.clip,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=callbacks,
            logger=loggers(folder, last) if first else False,
        )
        fit(loop, module, Batches(shown, order, workers=workers), last)
    if first:
        write_json(
            folder / "run.json",
            {
                "options": options,
                "clips": {
                    "train": len(clips.train),
                    "held_out": len(clips.held_out),
                    "skipped": clips.skipped,
                    "fingerprint": clips.fingerprint,
                },
                "seconds": round(progress.seconds, 1),
                "environment": environment(),
            },
        )
    return best


def clip_shape(data: ClipDataOptions) -> ClipShape:
    """What the options show of a video."""
    return ClipShape(data.num_frames, data.size, data.short_side, data.sampling, data.step)


def make_network(model: ClipModelOptions, num_classes: int, *, fresh: bool) -> VideoClassifier:
    """The network to train, with the weights it starts from unless a checkpoint comes anyway."""
    network = create_model(model.name, num_classes=num_classes)
    if network.needs_boxes != (model.detector is not None):
        raise ValueError(
            f"{model.name} is told where to look: say by what with model.detector=coco"
            if network.needs_boxes
            else f"{model.name} finds its regions itself: leave model.detector out"
        )
    if fresh and model.weights is not None:
        for part in ("backbone", "body"):  # the head is for other classes
            own = network.get_submodule(part)
            load_weights(own, model.weights, name=model.name, part=f"{part}.")
    if fresh and model.backbone is not None:
        for line in load_backbone(network, model.backbone).lines():
            log.info(line)
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


def processes(trainer: ClipTrainerOptions) -> tuple[int, int]:
    """Processes a machine, and machines: as torchrun says, else as the options do."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return trainer.devices, trainer.nodes
    here, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return here, world // here


def process_rank() -> int:
    """The number of this process among all of the run, also before they know each other."""
    return rank_zero_only.rank or 0  # type: ignore[attr-defined]


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return process_rank() == 0
