"""Kick-start: models with several graphs first learn where to look from models with one.

DyReg-GNN, section 4.1 and appendix F.1: in a model with several graphs only the last one's regions
behave well. Models with a single graph are trained first, and for the first tenth of the steps the
larger model copies their regions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.models.insertion.interlaced import Interlaced

SHARE = 0.1  # of the steps, in which regions are copied; section 4.1, appendix F.1


class KickStart:
    """The distance of a student's regions to those of a teacher for each place, on the same video.

    Node i of the student learns from node i of the teacher. It is no module, so teachers are in no
    checkpoint and no optimiser, and stay in eval mode when the student trains.

    Args:
        teachers: place, by the name of the module, e.g. "layer3.4.conv2" -> a model with a graph
            there, e.g. a `VideoClassifier` or what `insert` returned. Frozen by this.

    Raises:
        ValueError: for a teacher without a graph at its place.

    Example:
        >>> import functools, torch, torchvision, interlace
        >>> def model(*places):
        ...     network = torchvision.models.resnet18(num_classes=5)
        ...     graph = functools.partial(interlace.DyReg, nodes=4, width=32)
        ...     return interlace.insert(network, dict.fromkeys(places, graph))
        >>> kick_start = KickStart({place: model(place) for place in ("layer2", "layer3")})
        >>> student, video = model("layer2", "layer3"), torch.randn(1, 2, 3, 64, 64)
        >>> with regions_of(student) as regions:
        ...     logits = student(video)
        >>> kick_start(video, regions).item()  # fresh regions are all in the middle
        0.0
        >>> kick_start.weight(9, 100), kick_start.weight(10, 100)
        (1.0, 0.0)
    """

    def __init__(self, teachers: Mapping[str, nn.Module]):
        if not teachers:
            raise ValueError('say who teaches what, e.g. {"layer3.4.conv2": model}')
        for place, teacher in teachers.items():
            if place not in (held := graphs_of(teacher)):
                raise ValueError(
                    f"the teacher for {place} has no graph there: it has {_some(held)}"
                )
            teacher.eval().requires_grad_(False)
        self.teachers = dict(teachers)

    def weight(self, step: int, steps: int) -> float:
        """Of the loss at a step, counted from 0: 1 in the first steps, then 0."""
        return float(step < SHARE * steps)

    def __call__(self, video: Tensor, regions: Mapping[str, Tensor]) -> Tensor:
        """The loss; in a training step, to be asked for only while `weight` is not 0.

        Args:
            video: as the student saw it, with its crops and flips.
            regions: place -> where the student looked, (B, T, N, 4), see `regions_of`.

        Returns:
            A number: the distance of regions, averaged over places.

        Raises:
            ValueError: if the student lacks a place, or has other nodes there, or cannot learn.
        """
        self.check(regions)
        distances = []
        for place in self.teachers:
            taught, shown = regions[place], self.show(place, video)
            if torch.is_grad_enabled() and not getattr(taught, "requires_grad", False):
                raise ValueError(
                    f"regions at {place} have no gradient, so nothing would be learnt: take them "
                    "from regions_of(student), not from a trace, of a graph whose regions learn"
                )
            if taught.shape != shown.shape:
                raise ValueError(
                    f"regions at {place} must be (B, T, N, 4) = {tuple(shown.shape)} as the "
                    f"teacher's, got {tuple(taught.shape)}: build both with as many nodes"
                )
            distances.append(region_distance(taught, shown))
        return torch.stack(distances).mean()

    def check(self, student: nn.Module | Mapping[str, Any]) -> None:
        """Says before the first step whether a student has a graph for each teacher.

        Args:
            student: the model, or anything by place.

        Raises:
            ValueError: if not.
        """
        held = graphs_of(student) if isinstance(student, nn.Module) else student
        if lacks := [place for place in self.teachers if place not in held]:
            raise ValueError(
                f"there are teachers for {', '.join(lacks)}, but the student has {_some(held)}: "
                "name each teacher after one of these"
            )

    @torch.no_grad()
    def show(self, place: str, video: Tensor) -> Tensor:
        """Where the teacher for a place looks: (B, T, N, 4)."""
        teacher = self.teachers[place]
        if next(teacher.parameters()).device != video.device:
            teacher.to(video.device)
        with regions_of(teacher.eval()) as regions:
            teacher(video)
        return regions[place]


@contextlib.contextmanager
def regions_of(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Where graphs look in the calls within, with gradients, unlike a trace.

    Args:
        model: with one or several graphs in a network, see `insert`.

    Yields:
        Filled by a call of the model: place -> (B, T, N, 4).
    """
    regions: dict[str, Tensor] = {}

    def note(place: str, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        regions[place] = output[0].boxes.expand(*args[0].shape[:2], -1, -1)

    handles = [
        graph.regions.register_forward_hook(partial(note, place))
        for place, graph in graphs_of(model).items()
    ]
    try:
        yield regions
    finally:
        for handle in handles:
            handle.remove()


def graphs_of(model: nn.Module) -> dict[str, GraphBlock]:
    """The graphs in a network, by place."""
    return {
        place: graph
        for network in model.modules()
        if isinstance(network, Interlaced)
        for place, part in zip(network.places, network.graphs.values(), strict=True)
        for graph in part.modules()
        if isinstance(graph, GraphBlock)
    }


def region_distance(boxes: Tensor, others: Tensor) -> Tensor:
    """Mean over regions of |cx - cx'| + |cy - cy'| + |rx - rx'| + |ry - ry'|.

    Boxes are compared, not raw offsets, which have no bound and mean little at a border.

    Args:
        boxes: (B, T, N, 4) in fractions of the frame.
        others: the same, of as many.
    """
    return (boxes - others).abs().sum(-1).mean()


# --- batch norms that stay as they are ------------------------------------------------------------


def freeze_batch_norm(model: nn.Module) -> nn.Module:
    """Batch norms of a pretrained network keep their statistics, scale and shift.

    Small batches of video would spoil them. They stay in eval mode when the model is set to train,
    learn nothing, and keep the names of their weights.

    Args:
        model: changed in place.

    Returns:
        The model.

    Example:
        >>> model = freeze_batch_norm(nn.Sequential(nn.BatchNorm2d(3))).train()
        >>> model[0].training, model[0].weight.requires_grad
        (False, False)
    """
    for module in model.modules():
        if type(module) in _FROZEN:
            module.__class__ = _FROZEN[type(module)]
            module.eval().requires_grad_(False)
    return model


class _Frozen(nn.modules.batchnorm._BatchNorm):
    """As it was when it was frozen: always in eval mode."""

    def train(self, mode: bool = True) -> _Frozen:
        return super().train(False)


class FrozenBatchNorm1d(_Frozen, nn.BatchNorm1d): ...


class FrozenBatchNorm2d(_Frozen, nn.BatchNorm2d): ...


class FrozenBatchNorm3d(_Frozen, nn.BatchNorm3d): ...


_FROZEN: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
}


def _some(places: Mapping[str, Any]) -> str:
    return f"graphs at {', '.join(places)}" if places else "no graphs"
