"""How well regions sit on objects: distances, recall, overlap, and how long a node stays with one.

The distances are those of DyReg-GNN, appendix F.3, equations 15 and 16.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from interlace.graph.boxes import iou


@dataclass(frozen=True)
class RegionMetrics:
    """How well regions sit on objects, over all that was added.

    Convention:
        Lengths are fractions of the frame: of its width along x, of its height along y.

    Args:
        dist_p: distance of a node's centre to the nearest object's, the mean over nodes and
            frames (precision, eq. 15).
        dist_r: distance of an object's centre to the nearest node's, the mean over the objects of
            a frame, then over frames (recall, eq. 16, where N_B is of the current frame).
        recall: fraction of objects with the centre of at least one region in their box, edges
            included; each object counts once in each frame it is in.
        iou: intersection over union of an object with the region that fits it best, the mean over
            objects, counted as for recall.
        same_object: fraction of pairs of successive frames in which a node's nearest object is the
            same one, over all nodes and all pairs where both frames have objects; None where there
            is no such pair. It is 1 where there is only one object.
        run_length: frames that a node keeps its nearest object until it has another one or none,
            or the clip ends: the mean over such runs; 1 to T.
        frames: F, frames with objects; those without are left out of everything.
        objects: objects seen, each counted in each frame it is in.
    """

    dist_p: float
    dist_r: float
    recall: float
    iou: float
    same_object: float | None
    run_length: float
    frames: int
    objects: int

    @property
    def dist(self) -> float:
        """Harmonic mean of dist_p and dist_r, the paper's final score; smaller is better."""
        total = self.dist_p + self.dist_r
        return 2 * self.dist_p * self.dist_r / total if total else 0.0

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON."""
        return {"dist": self.dist, **asdict(self)}


class Comparison(NamedTuple):
    """Every node and every object of every frame, measured; NaN, False or -1 where there is none.

    Attributes:
        to_object: (B, T, N) distance of each node's centre to the nearest object's.
        nearest: int64 (B, T, N) which object that is, the first of those equally near.
        to_region: (B, T, M) distance of each object's centre to the nearest node's.
        hit: bool (B, T, M) whether the centre of a region is in the object's box.
        iou: (B, T, M) intersection over union of each object with the region that fits it best.
        present: bool (B, T, M) which objects are in the frame.
    """

    to_object: Tensor
    nearest: Tensor
    to_region: Tensor
    hit: Tensor
    iou: Tensor
    present: Tensor


def compare(regions: Tensor, objects: Tensor) -> Comparison:
    """Measures every node against the objects of its frame, and the other way round.

    Args:
        regions: (B, T, N, 4) boxes of nodes, N at least 1.
        objects: (B, T, M, 4) boxes of objects, M may be 0; number j is the same object in all
            frames of a clip, and four times NaN in those that it is not in.

    Returns:
        A `Comparison` on the device of the boxes, in float32 or, for float64 boxes, in float64.

    Convention:
        Boxes as in `interlace.graph.boxes`: (cx, cy, rx, ry), fractions of the frame.

    Raises:
        ValueError: for other shapes, or boxes with NaN, infinite or negative extents, of nodes or
            of objects that are in the frame.

    Example:
        >>> regions = torch.tensor([[[[0.5, 0.5, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]]]])
        >>> objects = torch.tensor([[[[0.5, 0.75, 0.1, 0.1]]]])
        >>> compare(regions, objects).to_region.item()
        0.25
    """
    regions, objects, present = _checked(regions, objects)
    gap = (regions[..., :, None, :2] - objects[..., None, :, :2]).abs()  # (B, T, N, M, 2)
    distance = torch.linalg.vector_norm(gap, dim=-1)  # (B, T, N, M)
    inside = (gap <= objects[..., None, :, 2:]).all(-1)

    nobody = F.pad(distance.masked_fill(~present[..., None, :], torch.inf), (0, 1), value=torch.inf)
    to_object, nearest = nobody.min(-1)  # (B, T, N)
    alone = to_object.isinf()
    return Comparison(
        to_object=to_object.masked_fill(alone, torch.nan),
        nearest=nearest.masked_fill(alone, -1),
        to_region=distance.amin(-2).masked_fill(~present, torch.nan),
        hit=inside.any(-2) & present,
        iou=iou(regions, objects).amax(-2).masked_fill(~present, torch.nan),
        present=present,
    )


class RegionMeter:
    """Collects regions and objects batch by batch; the result is that of all of them at once.

    Sums are kept in float64.

    Example:
        >>> meter = RegionMeter()
        >>> regions = torch.tensor([[[[0.5, 0.5, 0.1, 0.1], [0.1, 0.5, 0.1, 0.1]]]])
        >>> meter.add(regions, regions)
        >>> meter.result().recall, meter.result().dist
        (1.0, 0.0)
    """

    def __init__(self) -> None:
        self.frames = 0  # with objects
        self._objects = self._hits = 0
        self._held = self._pairs = self._same = 0  # of nodes: frames, pairs of frames
        self._to_object = self._to_region = self._iou = 0.0

    def add(self, regions: Tensor, objects: Tensor) -> None:
        """Adds a batch of whole clips; see `compare`. What it refuses leaves no trace."""
        found = Comparison(*(part.cpu() for part in compare(regions, objects)))
        amount = found.present.sum(-1)  # (B, T)
        shown = amount > 0
        to_object = found.to_object.double().mean(-1)[shown]  # (F,)
        to_region = found.to_region.double().nanmean(-1)[shown]
        before, after = found.nearest[:, :-1], found.nearest[:, 1:]  # (B, T - 1, N)
        pairs = (before >= 0) & (after >= 0)

        self.frames += int(shown.sum())
        self._objects += int(amount.sum())
        self._hits += int(found.hit.sum())
        self._held += int((found.nearest >= 0).sum())
        self._pairs += int(pairs.sum())
        self._same += int((pairs & (before == after)).sum())
        self._to_object += float(to_object.sum())
        self._to_region += float(to_region.sum())
        self._iou += float(found.iou.double().nansum())

    def result(self) -> RegionMetrics:
        """The metrics of all that was added.

        Raises:
            ValueError: if no frame had an object.
        """
        if self.frames == 0:
            raise ValueError(
                "there is nothing to measure regions on: no frame has an object; add clips whose "
                "objects are known"
            )
        return RegionMetrics(
            dist_p=self._to_object / self.frames,
            dist_r=self._to_region / self.frames,
            recall=self._hits / self._objects,
            iou=self._iou / self._objects,
            same_object=self._same / self._pairs if self._pairs else None,
            run_length=self._held / (self._held - self._same),  # a run: one pair less than frames
            frames=self.frames,
            objects=self._objects,
        )


def region_metrics(regions: Tensor, objects: Tensor) -> RegionMetrics:
    """The metrics of one batch of clips; arguments and errors as for `compare`."""
    meter = RegionMeter()
    meter.add(regions, objects)
    return meter.result()


def _checked(regions: Tensor, objects: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Regions and objects in one type, and which objects are present."""
    for name, boxes, count in (("regions", regions, "N"), ("objects", objects, "M")):
        if boxes.dim() != 4 or boxes.shape[-1] != 4:
            raise ValueError(
                f"{name} must be boxes (B, T, {count}, 4), got {tuple(boxes.shape)}; for a single "
                "clip use boxes[None]"
            )
    if regions.shape[:2] != objects.shape[:2]:
        raise ValueError(
            f"regions and objects must be of the same clips and frames (B, T), got "
            f"{tuple(regions.shape[:2])} and {tuple(objects.shape[:2])}; take the objects of the "
            "frames that the regions are of"
        )
    dtype = torch.promote_types(torch.promote_types(regions.dtype, objects.dtype), torch.float32)
    regions, objects = regions.to(dtype), objects.to(dtype)
    absent = objects.isnan().all(-1)  # (B, T, M)
    for name, boxes, wrong in (
        ("regions", regions, ~_are_boxes(regions)),
        ("objects that are in the frame", objects, ~_are_boxes(objects) & ~absent),
    ):
        if bool(wrong.any()):
            clip, frame, which = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"{name} must be finite boxes (cx, cy, rx, ry) with rx, ry >= 0, got "
                f"{boxes[clip, frame, which].tolist()} in clip {clip}, frame {frame}, place "
                f"{which}; look for NaN in the weights, or make objects that are absent NaN"
            )
    return regions, objects, ~absent


def _are_boxes(boxes: Tensor) -> Tensor:
    return boxes.isfinite().all(-1) & (boxes[..., 2:] >= 0).all(-1)
