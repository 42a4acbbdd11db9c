"""A released checkpoint in a file -> our weights in a file, and back into a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from interlace.models.backbones.shift import first_convolutions
from interlace.models.classifier import VideoClassifier
from interlace.models.convert.checkpoint import read_checkpoint
from interlace.models.convert.names import Parts, sort_tensors
from interlace.models.convert.released import tsm_from_pytorch
from interlace.models.weights import load_weights, read_card, save_weights

REGISTERED = (18, 34, 50, 101)  # layers of ResNets that have names of ours
STRETCH = 64  # frames that TSM's dense sampling spreads a clip over


def convert_file(
    source: str | Path, target: str | Path, *, num_frames: int | None = None
) -> Iterator[str]:
    """Writes a released checkpoint as safetensors with a card; lines on what went where.

    Args:
        source: a PyTorch checkpoint, read without executing anything, or safetensors.
        target: ends in .safetensors.
        num_frames: of a clip; None: as the name of the file says, else as its authors trained.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is another kind of file, or not all of it has a place; nothing is written.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise ValueError(f"the new file must end in .safetensors, got {target.name}")
    if source.resolve() == target.resolve():
        raise ValueError(f"{source} would be overwritten: choose another name")
    if source.suffix == ".safetensors" and source.is_file() and (card := read_card(source)):
        raise ValueError(
            f"{source} has a card of ours already ({card.get('model', 'no model named')}): it "
            "needs no conversion"
        )
    tensors, beside = read_checkpoint(source)
    parts = sort_tensors(tensors)
    name = _model(parts)
    clips = _clips(parts, source.name, num_frames)
    yield from parts.lines()
    if beside:
        yield f"beside the weights, left out: {', '.join(beside)}"
    model = tsm_from_pytorch(parts)
    card = {
        "model": name,
        "num_classes": model.num_classes,
        "clips": clips,
        "converted_from": source.name,
    }
    # the TSM program skips every second block of a ResNet-101: then the name does not say all
    skips = parts.shifted and {*parts.shifted} != {*first_convolutions(model.body)}
    if parts.graphs or skips:
        card["made_from"] = {
            name: list(value.shape)
            for name, value in tensors.items()
            if name not in parts.constants
        }
    save_weights(model, target, card=card)
    size = clips["size"]
    yield f"{name}, {model.num_classes:,} classes, clips of {clips['num_frames']} x {size} x {size}"
    yield f"{sum(p.numel() for p in model.parameters()):,} parameters in {target}"


def open_converted(path: str | Path) -> VideoClassifier:
    """The model that `convert_file` wrote.

    Its shape follows from the names and shapes it was made from, which its card keeps.

    Raises:
        ValueError: for a file that `convert_file` did not write.
    """
    card = read_card(path)
    made_from = card.get("made_from")
    if not isinstance(made_from, Mapping):
        raise ValueError(f"{path} was not written by `interlace convert`")
    zeros = {name: torch.zeros(shape) for name, shape in made_from.items()}
    model = tsm_from_pytorch(sort_tensors(zeros))
    load_weights(model, path, name=card["model"])
    return model


def _model(parts: Parts) -> str:
    """Our name of what a checkpoint holds."""
    if parts.depth not in REGISTERED:
        known = ", ".join(map(str, REGISTERED))
        raise ValueError(f"no model of ours is a ResNet-{parts.depth}: there are {known}")
    if parts.graphs:
        return f"tsm_r{parts.depth}_dyreg"
    return f"{'tsm' if parts.shifted else 'c2d'}_r{parts.depth}"


def _clips(parts: Parts, name: str, num_frames: int | None) -> dict[str, Any]:
    """What to show the model of a video, as a `ClipShape`; names of TSM's files tell.

    For example TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50_dense.pth.
    """
    if (found := re.search(r"_shift(\d+)_", name)) and found[1] != "8":
        raise ValueError(
            f"{name} shifts 1/{found[1]} of the channels by its name, and models of ours 1/8"
        )
    if num_frames is None:
        told = re.search(r"segment(\d+)", name)
        authors = 16 if parts.graphs or not parts.shifted else 8  # TSM trains most on 8
        num_frames = int(told[1]) if told else authors
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    dense = bool(parts.shifted) and "_dense" in name
    return {
        "num_frames": num_frames,
        "size": 224,
        "short_side": 256,
        "sampling": "dense" if dense else "segments",
        "step": max(1, STRETCH // num_frames) if dense else 2,
    }
