"""Boxes of an object detector, for graphs that are told where to look.

DyReg-GNN, section 4.1 and appendix F.2: a Faster R-CNN trained on COCO gives the nine boxes it is
surest of, and they are matched over time. It is not trained along.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from interlace.models.backbones.weights import fetch, fill, read_tensors
from interlace.models.classifier import VideoClassifier
from interlace.models.matching import match_over_time
from interlace.optional import optional

COCO = "coco"


class BoxDetector(nn.Module):
    """torchvision's Faster R-CNN (ResNet-50, FPN) on each frame of a clip; frozen.

    Args:
        weights: "coco", fetched once by torchvision; a file of such weights; None for none, which
            sees nothing of use.
        nodes: N, boxes of a frame.
        side: pixels that the shorter side of a frame is resized to; it was trained with 800, fewer
            are faster.
        at_once: frames that are looked at together, as memory allows.
    """

    def __init__(
        self,
        weights: str | Path | None = COCO,
        *,
        nodes: int = 9,  # appendix F.2
        side: int = 800,
        at_once: int = 4,
    ):
        super().__init__()
        detection = optional("torchvision.models.detection", "the detector")
        self.nodes = nodes
        self.at_once = at_once
        self.network = detection.fasterrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            min_size=side,
            max_size=2 * side,
            box_detections_per_img=nodes,
        )
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-12  # the published weights have 0, which torch 2.11 refuses
        if weights is not None:
            coco = detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1
            named = str(weights) == COCO
            tensors = fetch(coco, "detector's weights") if named else read_tensors(Path(weights))
            fill(self.network, tensors, str(weights))
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> BoxDetector:
        """Stays as it is: it is not trained along."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, video: Tensor) -> Tensor:
        """Find and follow objects.

        Args:
            video: (B, T, 3, H, W), uint8 in 0..255 or floats in [0, 1].

        Returns:
            (B, T, N, 4) as (cx, cy, rx, ry) in fractions of the frame, slot n on one object as long
            as it is seen; rows of NaN where there is none.
        """
        if video.dim() != 5 or video.shape[2] != 3:
            raise ValueError(f"video must be (B, T, 3, H, W), got {tuple(video.shape)}")
        frames = video.flatten(0, 1)
        frames = frames / 255 if frames.dtype == torch.uint8 else frames
        found: list[dict[str, Tensor]] = []
        for part in frames.split(self.at_once):
            found += self.network(list(part))
        ops = optional("torchvision.ops", "the detector")
        boxes, scores = (
            pad_sequence([one[key] for one in found], batch_first=True, padding_value=torch.nan)
            for key in ("boxes", "scores")
        )  # in pixels, (B * T, most, 4); rows of NaN are no boxes
        height, width = frames.shape[-2:]
        pixels = boxes.new_tensor([width, height, 2 * width, 2 * height])
        boxes = ops.box_convert(boxes, "xyxy", "cxcywh") / pixels
        clips = video.shape[:2]
        return match_over_time(
            boxes.unflatten(0, clips), scores.unflatten(0, clips), nodes=self.nodes
        ).to(frames)


class WithDetector(nn.Module):
    """A model that is told where to look, and the detector that tells it.

    Args:
        model: with `needs_boxes`, e.g. `create_model("tsm_r50_detector")`.
        detector: video -> boxes, e.g. `BoxDetector`.

    Example:
        >>> from interlace.models.registry import create_model
        >>> model = WithDetector(create_model("tsm_r18_detector"), BoxDetector(None, side=64))
        >>> model.eval()(torch.rand(1, 2, 3, 64, 64)).shape
        torch.Size([1, 46])
    """

    def __init__(self, model: VideoClassifier, detector: nn.Module):
        super().__init__()
        if not model.needs_boxes:
            raise ValueError(
                "this model finds its regions itself; a detector is for one that is told where to "
                "look, such as tsm_r50_detector"
            )
        self.model = model
        self.detector = detector
        self.num_classes = model.num_classes
        self.needs_boxes = False

    def forward(self, video: Tensor, state: Any = None, **options: Any) -> Any:
        """As `VideoClassifier.forward`, without `boxes`; over whole clips only."""
        if state is not None or options.get("return_state"):
            raise ValueError(
                "boxes are matched within a clip: for a stream, give the model itself boxes that "
                "are matched over all of it"
            )
        return self.model(video, boxes=self.detector(video), **options)
