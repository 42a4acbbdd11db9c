"""How well regions sit on objects: distances, recall, overlap, and how long a node stays with one.

The distances are those of DyReg-GNN, appendix F.3, equations 15 and 16.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interlace.graph.boxes import iou
from interlace.graph.trace import SPEAKS


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

    def add(self, regions: Tensor, objects: Tensor, mass: Tensor | None = None) -> None:
        """Adds a batch of whole clips. What it refuses leaves no trace.

        Args:
            regions: (B, T, N, 4) boxes of nodes, N at least 1.
            objects: (B, T, M, 4) boxes of objects, M may be 0; number j is the same object in all
                frames of a clip, and four times NaN in those that it is not in.
            mass: (B, T, N) in [0, 1] of nodes that may be silent: those below a half are left out
                of a frame in which another speaks.

        Convention:
            Boxes as in `interlace.graph.boxes`: (cx, cy, rx, ry), fractions of the frame; they are
            measured in float32 or, where they are of it, in float64.

        Raises:
            ValueError: for other shapes, or boxes with NaN, infinite or negative extents, of nodes
                or of objects that are in the frame.
        """
        regions, objects, present = _checked(regions, objects)  # present: (B, T, M)
        speaks = _speaking(regions, mass)  # (B, T, N)
        gap = (regions[..., :, None, :2] - objects[..., None, :, :2]).abs()  # (B, T, N, M, 2)
        inside = (gap <= objects[..., None, :, 2:]).all(-1) & speaks[..., None]  # (B, T, N, M)
        distance = torch.linalg.vector_norm(gap, dim=-1).double()
        overlap = (iou(regions, objects) * speaks[..., None]).amax(-2).double()  # (B, T, M)

        shown = present.any(-1)  # (B, T)
        some = F.pad(
            distance.masked_fill(~present[..., None, :], torch.inf), (0, 1), value=torch.inf
        )
        to_object, nearest = some.min(-1)  # (B, T, N), the first of those equally near
        held = to_object.isfinite() & speaks
        heard = distance.masked_fill(~speaks[..., None], torch.inf)
        to_region = heard.amin(-2).masked_fill(~present, torch.nan)  # (B, T, M)
        pairs = held[:, :-1] & held[:, 1:]  # (B, T - 1, N)

        self.frames += int(shown.sum())
        self._objects += int(present.sum())
        self._hits += int((inside.any(-2) & present).sum())
        self._held += int(held.sum())
        self._pairs += int(pairs.sum())
        self._same += int((pairs & (nearest[:, :-1] == nearest[:, 1:])).sum())
        to_object = to_object.masked_fill(~speaks, torch.nan)
        self._to_object += float(to_object[shown].nanmean(-1).sum())
        self._to_region += float(to_region[shown].nanmean(-1).sum())
        self._iou += float(overlap[present].sum())

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
    """The metrics of one batch of clips; arguments and errors as for `RegionMeter.add`."""
    meter = RegionMeter()
    meter.add(regions, objects)
    return meter.result()


def _checked(regions: Tensor, objects: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Regions and objects in one type, and which objects are present; boxes of others are 0."""
    shapes = tuple(regions.shape), tuple(objects.shape)
    if any(len(s) != 4 or s[3] != 4 for s in shapes) or shapes[0][:2] != shapes[1][:2]:
        raise ValueError(
            "regions and objects must be boxes (B, T, N, 4) and (B, T, M, 4) of the same clips and "
            f"frames, got {shapes[0]} and {shapes[1]}; for a single clip use boxes[None]"
        )
    dtype = torch.promote_types(torch.promote_types(regions.dtype, objects.dtype), torch.float32)
    absent = objects.isnan().all(-1)  # (B, T, M)
    objects = objects.masked_fill(absent[..., None], 0).to("cpu", dtype)
    regions, absent = regions.to("cpu", dtype), absent.cpu()
    for name, boxes in (("regions", regions), ("objects", objects)):
        wrong = ~(boxes.isfinite().all(-1) & (boxes[..., 2:] >= 0).all(-1))
        if bool(wrong.any()):
            clip, frame, which = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"{name} must be finite boxes (cx, cy, rx, ry) with rx, ry >= 0, got "
                f"{boxes[clip, frame, which].tolist()} in clip {clip}, frame {frame}, place "
                f"{which}; look for NaN in the weights, or make objects that are absent NaN"
            )
    return regions, objects, ~absent


def _speaking(regions: Tensor, mass: Tensor | None) -> Tensor:
    """bool (B, T, N): the nodes that say something in a frame; all where none does."""
    if mass is None:
        return torch.ones_like(regions[..., 0], dtype=torch.bool)
    if mass.shape != regions.shape[:-1]:
        raise ValueError(
            f"mass must be {tuple(regions.shape[:-1])}, a number for each region, got "
            f"{tuple(mass.shape)}"
        )
    speaks = mass.to(regions.device) >= SPEAKS
    return speaks | ~speaks.any(-1, keepdim=True)
