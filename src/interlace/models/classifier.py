"""VideoClassifier: backbone, graph, head; logits, and a trace on request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.graph.readout import ToMeanVector, ToVector
from interlace.graph.state import carried
from interlace.graph.trace import Trace
from interlace.models.face import answer, ask
from interlace.models.insertion.interlaced import Interlaced


class MapState(NamedTuple):
    """What a stream carries whose body gives maps: the body's state, and the mean so far."""

    body: Any
    mean: Tensor  # (B, D + 1): sum over the frames seen, and their number


class VideoClassifier(nn.Module):
    """Classifies clips, or the frames seen so far of a stream.

    Args:
        backbone: video (B, T, C, H0, W0) in [0, 1] -> features (B, T, C', H, W).
        body: a graph or a baseline over these features; its readout is a vector (B, D), or a map
            (B, T, D, H, W) or a vector a frame (B, T, D), which is then averaged over space and
            the frames seen so far. A body that returns None for its state sees whole clips only,
            and so does the classifier.
        num_classes: of the logits.
        dropout: of the features before the head, in training.
        neck: (B, D) -> (B, D), before the dropout; None for none, as in the papers.

    Example:
        >>> import torch, interlace
        >>> model = interlace.create_model("rstg_all_temp_small", num_classes=46)
        >>> model(torch.zeros(2, 10, 1, 64, 64, dtype=torch.uint8)).shape
        torch.Size([2, 46])
    """

    def __init__(
        self,
        backbone: nn.Module,
        body: nn.Module,
        num_classes: int,
        *,
        dropout: float = 0.0,
        neck: nn.Module | None = None,
    ):
        super().__init__()
        self.backbone = backbone
        self.body = body
        self.neck = nn.Identity() if neck is None else neck
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(body.out_channels, num_classes)  # type: ignore[arg-type]
        self.num_classes = num_classes

    @property
    def network(self) -> nn.Module:
        """What sees the frames: the network that graphs are in, or the backbone before the body."""
        return self.body.network if isinstance(self.body, Interlaced) else self.backbone

    @property
    def needs_boxes(self) -> bool:
        """Whether its graph looks where it is told: then pass `boxes`."""
        return any(isinstance(m, GraphBlock) and m.needs_boxes for m in self.modules())

    def forward(
        self,
        video: Tensor,
        state: Any = None,
        *,
        boxes: Tensor | None = None,
        every_frame: bool = False,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """Classify clips.

        Args:
            video: (B, T, C, H, W), uint8 in 0..255 or floats in [0, 1].
            state: what the same model returned for the frames before; None starts a stream.
            boxes: (B, T, M, 4), only for a graph whose regions need them.
            every_frame: the logits as they are after each frame, (B, T, num_classes).
            return_state: also return the state.
            return_trace: also return the `Trace` of the graph, None for a model without one; of a
                network with graphs in it a dict of traces, by the name of the module.

        Returns:
            Logits (B, num_classes), of every frame (B, T, num_classes); with return_state or
            return_trace a tuple of the logits, the state, the trace, as asked for.

        Raises:
            ValueError: for another shape or type.
        """
        if video.dim() != 5:
            hint = "; for a single clip use video[None]" if video.dim() == 4 else ""
            raise ValueError(f"video must be (B, T, C, H, W), got {tuple(video.shape)}{hint}")
        features = self.backbone(_to_unit(video, self.head.weight.dtype))
        return self.classify(
            features,
            state,
            boxes=boxes,
            every_frame=every_frame,
            return_state=return_state,
            return_trace=return_trace,
        )

    def classify(
        self,
        features: Tensor,
        state: Any = None,
        *,
        boxes: Tensor | None = None,
        every_frame: bool = False,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """The same from the features of the backbone (B, T, C', H, W), which may be kept."""
        inner, mean = state if isinstance(state, MapState) else (state, None)
        vectors = every_frame and _gives_vectors(self.body)
        out, inner, trace = ask(
            self.body, features, inner, boxes, return_state, return_trace, vectors
        )
        if out.dim() == 3 and not vectors:
            out = out[..., None, None]  # (B, T, D, 1, 1)
        if out.dim() == 5:
            out, mean = _mean_so_far(out, mean, every_frame)  # (B, D) or (B, T, D)
            inner = None if inner is None else MapState(inner, mean)
        logits = self.head(self.dropout(self.neck(out)))
        return answer(logits, inner, trace, return_state, return_trace)


def given(boxes: Tensor | None) -> dict[str, Tensor]:
    """The argument `boxes` for a graph that takes it, no argument for all others."""
    return {} if boxes is None else {"boxes": boxes}


def traces_of(trace: Trace | Mapping[str, Trace] | None) -> dict[str, Trace]:
    """What `return_trace` gave, by the name of the graph; "graph" for the body of a model."""
    return {"graph": trace} if isinstance(trace, Trace) else dict(trace or {})


def _to_unit(video: Tensor, dtype: torch.dtype) -> Tensor:
    if video.dtype == torch.uint8:
        return video.to(dtype) / 255
    if not video.is_floating_point():
        raise ValueError(
            f"video must be uint8 in 0..255 or floats in [0, 1], got {video.dtype}: convert it"
        )
    return video.to(dtype)


def _gives_vectors(body: nn.Module) -> bool:
    """Whether a body has but one vector for all frames, unless it is asked for each."""
    readout = getattr(body, "readout", None)
    return isinstance(readout, ToVector | ToMeanVector) or getattr(body, "gives_vectors", False)


def _mean_so_far(maps: Tensor, state: Tensor | None, every_frame: bool) -> tuple[Tensor, Tensor]:
    """(B, T, D, H, W) -> the mean (B, D) over space and all frames so far; sum and count.

    Of every frame (B, T, D).
    """
    batch, _, channels = maps.shape[:3]
    state = carried(state, (batch, channels + 1), maps)
    seen = nn.functional.pad(maps.mean((-2, -1), dtype=state.dtype), (0, 1), value=1)
    if not every_frame:
        seen = seen.sum(1, keepdim=True)
    seen = state[:, None] + seen.cumsum(1)  # (B, T or 1, D + 1)
    means = (seen[..., :-1] / seen[..., -1:]).to(maps.dtype)
    return (means if every_frame else means[:, -1]), seen[:, -1]
