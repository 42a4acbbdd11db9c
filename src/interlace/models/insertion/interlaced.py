"""Interlaced: a network with graphs in it.

The network stays as it is: same object, same names of weights. Forward hooks at the named modules
hand their features to the graphs; which clip they belong to, the state and the traces are held by
the call that is running, in a variable of its thread, never by a module. So a call is a function,
calls may nest and run side by side, and copies are apart.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from interlace.graph.block import GraphBlock
from interlace.models.face import answer, ask
from interlace.models.insertion.layout import Layout, VideoSize
from interlace.models.insertion.probe import feed


class Interlaced(nn.Module):
    """A network with graphs in it, over video (B, T, C, H, W); made by `insert`.

    `network` is the network as it was, with the same names of weights: `network.load_state_dict`
    takes what it took before, and called by itself it runs without graphs. `graphs` holds what was
    put in. It has the face of a graph, so `VideoClassifier` takes it for a body.

    Args:
        network: over frames (M, C, H, W), or over clips (B, C, T, H, W).
        clips: which of the two.
        out_channels: of what it gives, if that is one tensor; None asks the network.
    """

    def __init__(self, network: nn.Module, *, clips: bool, out_channels: int | None = None):
        super().__init__()
        self.network = network
        self.graphs = nn.ModuleDict()
        self.places: dict[str, Insertion] = {}
        self.clips = clips
        self.out_channels = out_channels or getattr(network, "out_channels", None)
        self.training = network.training

    def forward(
        self,
        video: Tensor,
        state: Mapping[str, Any] | None = None,
        *,
        boxes: Tensor | None = None,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """Run the network over a clip, or over the next frames of a stream.

        Args:
            video: (B, T, C, H, W), floats as the network takes them.
            state: what the same model returned for the frames before; None starts a stream.
            boxes: (B, T, M, 4), for graphs that are told where to look.
            return_state: also return the state, one entry for each graph; None if the network or
                something in it sees whole clips only.
            return_trace: also return a dict of traces, by the name of the module; None if there
                are none.

        Returns:
            What the network gives: of frames, every tensor (B * T, ...) as (B, T, ...); of clips,
            a map as (B, T, C, H, W) and all else as it is. With return_state or return_trace a
            tuple: that, the state, the traces, as asked for.

        Raises:
            ValueError: for video of another shape, or another model's state.
        """
        self._check(video, state, boxes)
        size = VideoSize.of(video)
        call = _Call(self, size, state, boxes, return_state, return_trace)
        outer, _RUNNING.call = _RUNNING.call, call
        try:
            out = feed(self.network, video, clips=self.clips)
        finally:
            _RUNNING.call = outer
        if missed := [key for key in self.places if key not in call.states]:
            raise RuntimeError(
                f"the network did not run {', '.join(missed)}, so the graph there did not either"
            )
        out = _time_second(out) if self.clips else _unfold(out, size)
        streams = not self.clips and all(v is not None for v in call.states.values())
        after = call.states if streams else None
        return answer(out, after, call.traces or None, return_state, return_trace)

    def remove(self) -> nn.Module:
        """Takes all graphs out and gives the network back as it was."""
        for insertion in self.places.values():
            insertion.leave(self.network)
        self.places.clear()
        self.graphs.clear()
        return self.network

    def put(self, insertion: Insertion, block: nn.Module) -> None:
        """Puts a block at a place, as `insert` does once it has found that it fits."""
        insertion.enter(self.network)
        self.places[insertion.key] = insertion
        self.graphs[_key(insertion.key)] = block

    def _check(self, video: Tensor, state: Mapping[str, Any] | None, boxes: Tensor | None) -> None:
        if video.dim() != 5 or 0 in video.shape:
            hint = "; for a single clip use video[None]" if video.dim() == 4 else ""
            raise ValueError(
                f"video must be (B, T, C, H, W) and not empty, got {tuple(video.shape)}{hint}"
            )
        if not video.is_floating_point():
            raise ValueError(
                f"video must be floats as the network takes them, got {video.dtype}: normalise it"
            )
        if boxes is not None and not any(_is_told(graph) for graph in self.graphs.values()):
            raise ValueError("boxes are for graphs that are told where to look; there is none here")
        if state is None:
            return
        if self.clips:
            raise ValueError("a 3D network sees whole clips: it cannot go on from a state")
        if not isinstance(state, Mapping) or state.keys() != self.places.keys():
            raise ValueError(
                "state must be what this model returned with return_state=True, with entries for "
                f"{', '.join(self.places) or 'no place'}; one that returned None sees whole clips"
            )


@dataclass
class _Call:
    """One forward pass that is running: the video, what goes in and what comes out of graphs."""

    owner: Interlaced
    size: VideoSize
    state: Mapping[str, Any] | None
    boxes: Tensor | None
    return_state: bool
    return_trace: bool
    states: dict[str, Any] = field(default_factory=dict)
    traces: dict[str, Any] = field(default_factory=dict)

    def run(self, place: Insertion, features: Tensor) -> Tensor:
        """What the graph at a place makes of what the network has there."""
        key = place.key
        block = self.owner.graphs[_key(key)]
        maps = place.layout.to_maps(features, self.size)
        boxes = None
        if self.boxes is not None and _is_told(block):
            every = -(-self.size.frames // maps.shape[1])  # frames a map, where a network strides
            boxes = self.boxes[:, ::every]
        before = None if self.state is None else self.state[key]
        out, state, trace = ask(block, maps, before, boxes, self.return_state, self.return_trace)
        self.states[key] = state
        if trace is not None:
            self.traces[key] = trace
        if out.shape != maps.shape:
            raise ValueError(
                f"the block at {key} must keep the shape of the map, {tuple(maps.shape)}, got "
                f'{tuple(out.shape)}: build a graph with readout="map"'
            )
        return place.layout.back(out.to(features.dtype), features)


class _Running(threading.local):
    """The innermost call that is running in this thread; torch.compile sees through it."""

    def __init__(self) -> None:
        self.call: _Call | None = None


_RUNNING = _Running()


class Insertion:
    """A named module whose output, or input, goes through a graph while a call is running."""

    layout: Layout

    def __init__(self, name: str, ahead: bool):
        self.name = name
        self.ahead = ahead
        self.key = f"before {name}" if ahead else name

    def enter(self, network: nn.Module) -> None:
        module = network.get_submodule(self.name)
        if self.ahead:
            module.register_forward_pre_hook(self.on_input)
        else:
            module.register_forward_hook(self.on_output)

    def leave(self, network: nn.Module) -> None:
        """Takes the hook out; found again by itself, as copies have no handles."""
        module = network.get_submodule(self.name)
        hooks = module._forward_pre_hooks if self.ahead else module._forward_hooks
        for key in [k for k, hook in hooks.items() if getattr(hook, "__self__", None) is self]:
            del hooks[key]

    def on_input(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        call = self._call()
        return None if call is None else (call.run(self, args[0]), *args[1:])

    def on_output(self, _: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        call = self._call()
        return None if call is None else call.run(self, output)

    def _call(self) -> _Call | None:
        """The call that is running, if it is one of the model that this place belongs to."""
        call = _RUNNING.call
        if call is not None and call.owner.places.get(self.key) is self:
            return call
        if call is None and torch._C._current_graph_task_id() != -1:  # within a backward pass
            raise RuntimeError(
                f"the network runs {self.name} again in its backward pass, without the graph: "
                "switch activation checkpointing off around it"
            )
        return None


def _key(place: str) -> str:
    """Of `graphs`: names of modules hold no dots."""
    return place.replace(".", "-").replace(" ", "-")


def _is_told(block: nn.Module) -> bool:
    return any(isinstance(m, GraphBlock) and m.needs_boxes for m in block.modules())


def _unfold(out: Any, size: VideoSize) -> Any:
    """Every tensor (B * T, ...) in what a network gave, as (B, T, ...)."""

    def unfolded(value: Any) -> Any:
        folded = isinstance(value, Tensor) and value.shape[:1] == (size.batch * size.frames,)
        return value.unflatten(0, (size.batch, size.frames)) if folded else value

    return tree_map(unfolded, out)


def _time_second(out: Any) -> Any:
    return out.transpose(1, 2) if isinstance(out, Tensor) and out.dim() == 5 else out
