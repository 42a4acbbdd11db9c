"""Boxes of an object detector, for graphs that are told where to look.

DyReg-GNN, section 4.1 and appendix F.2: a Faster R-CNN trained on COCO gives the nine boxes it is
surest of, and they are matched over time. It is not trained along.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interlace.models.backbones.weights import fill, read_tensors
from interlace.models.classifier import VideoClassifier
from interlace.models.matching import match_over_time

COCO = "coco"

_LOG = logging.getLogger(__name__)


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
        try:
            from torchvision.models.detection import fasterrcnn_resnet50_fpn
        except ImportError as error:
            raise ImportError(
                f"the detector needs torchvision ({error}); run: pip install torchvision"
            ) from error

        self.nodes = nodes
        self.at_once = at_once
        self.network = fasterrcnn_resnet50_fpn(
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
            tensors = _fetch() if str(weights) == COCO else read_tensors(Path(weights))
            for line in fill(self.network, tensors, str(weights)).lines():
                _LOG.info(line)
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
        boxes, scores = _padded(found, self.nodes, frames)
        clips = video.shape[:2]
        return match_over_time(
            boxes.unflatten(0, clips), scores.unflatten(0, clips), nodes=self.nodes
        )


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

    @property
    def backbone(self) -> nn.Module:
        """Of the model."""
        return self.model.backbone

    def forward(self, video: Tensor, state: Any = None, **options: Any) -> Any:
        """As `VideoClassifier.forward`, without `boxes`; over whole clips only."""
        if state is not None or options.get("return_state"):
            raise ValueError(
                "boxes are matched within a clip: for a stream, give the model itself boxes that "
                "are matched over all of it"
            )
        return self.model(video, boxes=self.detector(video), **options)


def _padded(found: list[dict[str, Tensor]], most: int, frames: Tensor) -> tuple[Tensor, Tensor]:
    """What was found in each frame, in pixels -> boxes (M, most, 4) in fractions, scores (M, most).

    Rows of NaN are no boxes.
    """
    from torchvision.ops import box_convert

    height, width = frames.shape[-2:]
    boxes = frames.new_full((len(frames), most, 4), torch.nan)
    scores = frames.new_zeros(len(frames), most)
    for k, one in enumerate(found):
        best = one["scores"].topk(min(most, len(one["scores"]))).indices
        cx, cy, wide, high = box_convert(one["boxes"][best], "xyxy", "cxcywh").to(boxes).unbind(-1)
        placed = (cx / width, cy / height, wide / (2 * width), high / (2 * height))
        boxes[k, : len(best)] = torch.stack(placed, dim=-1)
        scores[k, : len(best)] = one["scores"][best].to(scores)
    return boxes, scores


def _fetch() -> dict[str, Tensor]:
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights as Weights

    try:
        return Weights.COCO_V1.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"cannot fetch the detector's weights ({error}); where there is a network, download "
            f"{Weights.COCO_V1.url} and give the path of the file instead"
        ) from error
