"""Training on video files: from a folder of clips to weights, in one process or in many."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from interlace.data.clips.dataset import Clip, TestViews, TrainingClips
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.order import Order
from interlace.data.clips.shape import ClipShape
from interlace.data.clips.transforms import mirrored_labels
from interlace.data.workers import cores
from interlace.models.backbones.weights import load_backbone
from interlace.models.classifier import VideoClassifier
from interlace.models.detector import BoxDetector
from interlace.models.registry import create_model, input_channels, open_weights
from interlace.models.weights import load_weights
from interlace.record import environment, write_json
from interlace.training.clip_module import ClipTraining
from interlace.training.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
    ClipTrainerOptions,
    check_clip_options,
)
from interlace.training.clip_watch import Watch
from interlace.training.kick_start import KickStart, graphs_of
from interlace.training.loop import Logs, Resume, claim, fit, loggers, quiet
from interlace.training.progress import RunProgress
from interlace.training.tasks.clip_lists import HELD_OUT, run_clips

log = logging.getLogger(__name__)


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
