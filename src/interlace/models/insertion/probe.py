"""What a network's modules take and give, found by running it once on an empty video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from interlace.models.insertion.layout import Layout, VideoSize, find_layout

SIDES = (64, 224)  # pixels that are tried where a network does not tell its own
FRAMES = {False: 2, True: 8}  # of the empty video, for 2D and for 3D networks


@dataclass(frozen=True)
class Probed:
    """One run of a network.

    Attributes:
        size: of the video.
        clips: whether the network sees clips or frames.
        out: what it gave.
        seen: what each module took and gave, call by call; by name, in the network's order.
    """

    size: VideoSize
    clips: bool
    out: Any
    seen: dict[str, list[tuple[Any, Any]]]

    def maps(self) -> Iterator[tuple[str, Layout, Tensor]]:
        """Name, layout and output of all modules that run once and give maps or tokens."""
        for name, calls in self.seen.items():
            if len(calls) == 1:
                with contextlib.suppress(ValueError):
                    _, out = calls[0]
                    yield name, find_layout(out, self.size, clips=self.clips), out

    @property
    def out_channels(self) -> int | None:
        """Of the network, if it gives one tensor."""
        out = self.out
        return out.shape[1] if isinstance(out, Tensor) and out.dim() > 1 else None


def sees_clips(network: nn.Module) -> bool:
    """Whether it is a 3D network, over (B, C, T, H, W); else it sees frames (B * T, C, H, W)."""
    return any(isinstance(module, nn.Conv3d) for module in network.modules())


def feed(network: nn.Module, video: Tensor, *, clips: bool) -> Any:
    """The network's own output for video (B, T, C, H, W)."""
    return network(video.transpose(1, 2) if clips else video.flatten(0, 1))


def probe(network: nn.Module, example: Tensor | None, *, clips: bool) -> Probed:
    """Runs the network in eval mode and takes down what every module took and gave.

    Args:
        network: left as it was.
        example: (B, T, C, H, W); None tries zeros of the sizes that networks usually take.
        clips: see `sees_clips`.

    Raises:
        ValueError: if it cannot be run on zeros, with what to do.
    """
    if example is not None:
        if example.dim() != 5:
            raise ValueError(f"example must be (B, T, C, H, W), got {tuple(example.shape)}")
        return _run(network, example, clips)
    problem: Exception | None = None
    for side in _sides(network):
        video = _zeros(network, FRAMES[clips], side)
        try:
            return _run(network, video, clips)
        except Exception as error:
            problem = error
    raise ValueError(
        f"{type(network).__name__} cannot be run on zeros {tuple(video.shape)} ({problem}): pass "
        "example=video, any (B, T, C, H, W) that it takes"
    ) from problem


@torch.no_grad()
def _run(network: nn.Module, video: Tensor, clips: bool) -> Probed:
    """In eval mode, so that running it leaves no trace; then each module as it was."""
    seen: dict[str, list[tuple[Any, Any]]] = {}
    with contextlib.ExitStack() as undo:
        for name, module in network.named_modules():
            undo.callback(setattr, module, "training", module.training)
            if name:
                note = partial(_note, seen.setdefault(name, []))
                undo.callback(module.register_forward_hook(note).remove)
        network.eval()
        out = feed(network, video, clips=clips)
    return Probed(VideoSize.of(video), clips, out, seen)


def _note(calls: list[tuple[Any, Any]], _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    calls.append((args[0] if args else None, output))


def _sides(network: nn.Module) -> list[int]:
    """Pixels a side to try: what timm and torchvision say their networks take, then common ones."""
    said: list[Any] = []
    for config in ("pretrained_cfg", "default_cfg"):
        if isinstance(value := getattr(network, config, None), dict):
            said.append((value.get("input_size") or (None,))[-1])
    for owner in (network, getattr(network, "patch_embed", None)):
        for key in ("image_size", "img_size"):
            value = getattr(owner, key, None)
            said.append(value[-1] if isinstance(value, tuple | list) else value)
    fixed = [side for side in reversed(said) if isinstance(side, int)]
    return list(dict.fromkeys([*fixed[:1], *SIDES, *fixed]))


def _zeros(network: nn.Module, frames: int, side: int) -> Tensor:
    convolutions = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    first = next(convolutions, None)
    like = next(network.parameters(), torch.zeros(()))
    channels = 3 if first is None else first.in_channels
    return torch.zeros(1, frames, channels, side, side, dtype=like.dtype, device=like.device)
