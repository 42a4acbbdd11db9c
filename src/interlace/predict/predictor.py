"""Trained weights, ready to be asked: a path or an array in; labels, scores and boxes out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interlace.data.clips.dataset import read_views
from interlace.data.clips.sampling import spread_crops
from interlace.data.clips.shape import ClipShape, ProtocolName
from interlace.data.clips.transforms import crop, resize_short_side
from interlace.data.labels.class_names import class_names
from interlace.data.labels.listed import find_sources
from interlace.data.video.read import Source, VideoError, read_frames
from interlace.data.video.sources import is_one, source_name
from interlace.graph.trace import Trace
from interlace.models.classifier import VideoClassifier, traces_of
from interlace.models.detector import BoxDetector, WithDetector
from interlace.models.insertion.probe import FRAMES, sees_clips
from interlace.models.registry import open_weights
from interlace.predict.prediction import Prediction, Shown, area_of

GRAPH = "graph"  # the name of a graph that is not one of several


class Predictor:
    """Classifies videos with trained weights, and says where the nodes of its graphs looked.

    Args:
        weights: a safetensors file with a card, as `interlace train` and `interlace convert` write
            it; or a model.
        classes: their names, or a file of them, see `read_classes`; None: as the card says, else
            their numbers.
        clips: what the model is shown of a video; None: as the card says, else what DyReg is shown.
        protocol: "central", one view; "3x2" or "11x2", several, whose probabilities are averaged.
        device: None: the GPU where there is one.
        bf16: whether to autocast to bfloat16.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the weights are not for video files, or not for these classes.

    Example:
        >>> import interlace, numpy
        >>> from interlace.models.backbones.normalise import Normalise
        >>> from interlace.models.backbones.resnet import resnet_trunk
        >>> graph = interlace.DyReg(256, nodes=3, width=16)
        >>> body = interlace.insert(resnet_trunk(18), {"layer3": graph})
        >>> model = interlace.VideoClassifier(Normalise(), body, num_classes=2)
        >>> predict = interlace.Predictor(model, classes=["left", "right"])
        >>> prediction = predict(numpy.zeros((20, 90, 120, 3), numpy.uint8))
        >>> prediction.label in ("left", "right"), prediction.frames[:4]
        (True, [0, 1, 3, 4])
        >>> prediction.boxes["layer3"].shape
        torch.Size([16, 3, 4])
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | VideoClassifier,
        *,
        classes: str | os.PathLike[str] | Sequence[str] | None = None,
        clips: ClipShape | None = None,
        protocol: ProtocolName = "central",
        device: str | torch.device | None = None,
        bf16: bool = False,
    ):
        card: dict[str, Any] = {}
        if isinstance(weights, VideoClassifier):
            model, self.name = weights, "this model"
        else:
            model, card = open_weights(Path(weights))
            self.name = str(weights)
            if "data" in card and "clips" not in card:
                raise ValueError(
                    f"{weights} knows synthetic videos of digits, not video files: "
                    "`interlace explain` and `interlace evaluate` show it on held-out ones"
                )
        side = getattr(model.backbone, "side", None)  # of the frames, where there is one only
        self.model: VideoClassifier | WithDetector = model
        if model.needs_boxes and "detector" in card:
            self.model = WithDetector(model, BoxDetector(card["detector"]))
        if self.model.needs_boxes:
            raise ValueError(
                f"{self.name} looks where it is told, and video files do not tell: take weights of "
                "a model that finds its regions itself"
            )
        self.card = card
        self.classes = class_names(classes or card.get("classes"), self.model.num_classes)
        self.clips = clips or ClipShape(**card.get("clips", {}))
        self.protocol: ProtocolName = protocol
        shown = self.clips.protocol(protocol)
        if side not in (None, shown.size):
            raise ValueError(
                f"{self.name} takes frames of {side} x {side} pixels only, and the protocol "
                f"{protocol!r} shows {shown.size} x {shown.size}: take the protocol 'central'"
            )
        self._middle = shown.crops // 2  # of the first sampling
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.bf16 = bf16
        self.model.to(self.device).eval()

    def __call__(
        self, source: Source | Sequence[str | os.PathLike[str]]
    ) -> Prediction | list[Prediction]:
        """Classifies a video, or several.

        Args:
            source: a video as in `interlace.data.video`: a file, a folder of frames, frames as
                uint8 (T, H, W, 3) or (T, 3, H, W), a list of PIL's pictures, bytes or an open file.
                Several: a folder of videos, a list of paths, a .txt file with a path a line, or a
                .csv with a column of paths: below its own folder, seen from here, or below the
                folder that the weights were trained on, as in the lists of a run.

        Returns:
            One `Prediction`; of several videos a list, in which what cannot be read has its error.

        Raises:
            VideoError: a single video cannot be read.
        """
        sources = self.sources(source)
        return self.look(sources[0])[0] if is_one(source) else list(self.each(sources))

    def sources(self, source: Source | Sequence[str | os.PathLike[str]]) -> list[Any]:
        """All videos of what `__call__` takes.

        Raises:
            VideoError: a folder or a list names none.
        """
        return find_sources(source, root=self.card.get("data", {}).get("path"))

    def each(self, sources: Sequence[Source]) -> Iterator[Prediction]:
        """One video after the other; what cannot be read has its error, and stops nothing."""
        for source in sources:
            try:
                yield self.look(source)[0]
            except VideoError as error:
                yield Prediction(source_name(source), self.classes, error=str(error))

    @torch.no_grad()
    def look(self, source: Source) -> tuple[Prediction, Shown]:
        """Classifies one video, and tells what the model was shown and what its graphs did.

        Of several views this is the middle one of the first sampling.

        Raises:
            VideoError: it cannot be read.
        """
        video, numbers, views = read_views(source, self.clips, self.protocol)
        scores = torch.zeros(self.model.num_classes)
        for k, view in enumerate(views):
            chosen = torch.searchsorted(numbers, view.frames)
            traced = k == self._middle
            logits, traces, _ = self.run(crop(video[chosen], view.crop), return_trace=traced)
            scores += logits.softmax(-1) / len(views)
            if traced:
                area = area_of(view.crop, *video.shape[2:])
                shown = Shown(video[chosen], view.frames.tolist(), area, traces)
        return shown.prediction(source_name(source), self.classes, scores), shown

    def stream(self) -> Stream:
        """Classifies frames as they come, for models whose frames do not depend on later ones.

        Raises:
            ValueError: the model sees whole clips only.
        """
        return Stream(self)

    @torch.no_grad()
    def run(
        self, video: Tensor, state: Any = None, *, return_state: bool = False, return_trace: bool
    ) -> tuple[Tensor, dict[str, Trace], Any]:
        """The model on one view: logits (C,), traces by the name of the graph, and the state.

        Args:
            video: uint8 (T, 3, S, S).
            state: of the frames before.
            return_state: or None in its place.
            return_trace: or {} in their place.
        """
        options = {"return_state": return_state, "return_trace": return_trace}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            out = self.model(video[None].to(self.device), state, **options)
        logits, *others = out if isinstance(out, tuple) else (out,)
        logits = logits[0].float().cpu()
        if not bool(logits.isfinite().all()):
            raise ValueError(f"the scores of {self.name} are not finite: look for NaN in weights")
        state = others.pop(0) if return_state else None
        return logits, traces_of(others.pop(0) if return_trace else None), state


class Stream:
    """Frames go in as they come, and what the model says of all so far comes out.

    Made by `Predictor.stream`. What it carries does not grow with the frames.

    Args:
        predictor: of a model whose frames do not depend on later ones.
    """

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self._state: Any = None
        self._seen = 0
        shape, frames = predictor.clips, FRAMES[sees_clips(predictor.model)]
        empty = torch.zeros(frames, 3, shape.size, shape.size, dtype=torch.uint8)
        _, _, state = predictor.run(empty, return_state=True, return_trace=False)
        if state is None:
            raise ValueError(
                f"{predictor.name} sees later frames of a clip, or whole clips only, so it cannot "
                "follow a stream: take a causal model, such as c2d_r18 or tsm_r18_causal, alone or "
                "with graphs (`interlace list` shows all)"
            )

    def push(self, frames: np.ndarray | Tensor) -> Prediction:
        """What the model says of all frames so far.

        Args:
            frames: uint8 (T, H, W, 3), or one, (H, W, 3), or with the channels first; as far apart
                in time as those that the model was trained on. Its boxes are of these frames.
        """
        shape, predictor = self._predictor.clips, self._predictor
        video = read_frames(frames[None] if frames.ndim == 3 else frames)
        video = resize_short_side(video, shape.short_side)
        height, width = video.shape[2:]
        (central,) = spread_crops(height, width, shape.size)
        logits, traces, self._state = predictor.run(
            crop(video, central), self._state, return_state=True, return_trace=True
        )
        numbers = list(range(self._seen, self._seen + len(video)))
        self._seen += len(video)
        shown = Shown(video, numbers, area_of(central, height, width), traces)
        return shown.prediction("stream", predictor.classes, logits.softmax(-1))
