"""Boxes of a detector, matched over time, so that each node follows one object.

DyReg, appendix F.2: "We extract the top-9 detected boxes based on the confidence score and
temporally match them using the hungarian algorithm to maximize the IoU between boxes at consecutive
time steps."
"""

from __future__ import annotations

import torch
from torch import Tensor

from interlace.graph.boxes import iou
from interlace.optional import optional

_SMALLEST = 0.01  # half extent in matching: so that a point, too, overlaps with itself


def match_over_time(boxes: Tensor, scores: Tensor | None = None, *, nodes: int = 9) -> Tensor:
    """Puts the boxes of each frame in the order of the frame before: slot n follows one object.

    The assignment of boxes to slots maximises the sum of IoU(box, last box of the slot). A slot
    whose object is not seen waits with its last box. Boxes that overlap with no slot left for them
    take slots that were never used, then those that have waited longest, by descending score.

    Args:
        boxes: (T, M, 4) or (B, T, M, 4) as (cx, cy, rx, ry) in fractions of the frame, in any
            order; rows with NaN are no boxes.
        scores: (T, M) or (B, T, M), confidence; None if boxes come in descending order.
        nodes: N, how many boxes to keep in a frame.

    Returns:
        (T, N, 4) or (B, T, N, 4); rows of NaN where a slot has no object.

    Raises:
        ValueError: for other shapes, infinite boxes, negative extents, or boxes without a score.
        ImportError: without scipy.

    Example:
        >>> left, right = [0.25, 0.5, 0.1, 0.1], [0.75, 0.5, 0.1, 0.1]
        >>> match_over_time(torch.tensor([[left, right], [right, left]]), nodes=2)[..., 0]
        tensor([[0.2500, 0.7500],
                [0.2500, 0.7500]])
    """
    present = _check(boxes, scores, nodes)
    if boxes.dim() == 3:
        scores = None if scores is None else scores[None]
        return match_over_time(boxes[None], scores, nodes=nodes)[0]
    assign = optional("scipy.optimize", "matching boxes over time").linear_sum_assignment
    order = _best_first(present, scores).cpu()
    counts = present.sum(-1).clamp(max=nodes).tolist()
    exact = boxes.detach().cpu().double()
    matched = exact.new_full((*exact.shape[:2], nodes, 4), torch.nan)
    for clip, out, best, many in zip(exact, matched, order, counts, strict=True):
        last = exact.new_full((nodes, 4), torch.nan)
        seen = torch.full((nodes,), -1)  # the frame of `last`; -1 for never
        for t, count in enumerate(many):
            found = clip[t, best[t, :count]]  # (count, 4)
            slots, which = assign(_reward(last, seen, found), maximize=True)
            out[t, slots] = last[slots] = found[which]
            seen[slots] = t
    return matched.to(boxes)


def _reward(last: Tensor, seen: Tensor, found: Tensor) -> Tensor:
    """(N, k): IoU of slots and boxes; where there is none, far less, for the slots longest empty.

    The sum of products is largest when the best box takes the slot longest empty, and so on.
    """
    reward = iou(_widened(last), _widened(found)).nan_to_num(0)
    turn = torch.empty(len(seen), dtype=torch.float64)
    turn[seen.argsort(stable=True)] = torch.linspace(1, 0.5, len(seen), dtype=torch.float64)
    rank = torch.linspace(1, 0.5, len(found), dtype=torch.float64)
    small = 1e-7 / len(seen)  # all of them together are less than any overlap that counts
    return torch.where(reward > 0, reward, small * turn[:, None] * rank)


def _widened(boxes: Tensor) -> Tensor:
    return torch.cat((boxes[..., :2], boxes[..., 2:].clamp(min=_SMALLEST)), dim=-1)


def _best_first(present: Tensor, scores: Tensor | None) -> Tensor:
    """(..., M) indices: boxes by descending score, those of equal score as they came."""
    if scores is None:
        scores = torch.zeros_like(present, dtype=torch.float32)
    lowest = torch.finfo(scores.dtype).min  # a score may be -inf, what is no box goes last
    scores = scores.detach().clamp(min=lowest).masked_fill(~present, -torch.inf)
    return scores.sort(dim=-1, descending=True, stable=True).indices


def _check(boxes: Tensor, scores: Tensor | None, nodes: int) -> Tensor:
    """Which rows are boxes, (..., M)."""
    if boxes.dim() not in (3, 4) or boxes.shape[-1] != 4 or not boxes.is_floating_point():
        raise ValueError(
            "boxes must be floats (T, M, 4) or (B, T, M, 4), "
            f"got {boxes.dtype} {tuple(boxes.shape)}"
        )
    if nodes < 1:
        raise ValueError(f"nodes must be at least 1, got {nodes}")
    present = ~boxes.isnan().any(-1)
    kept = boxes[present]
    if bool(kept.isinf().any()) or bool((kept[:, 2:] < 0).any()):
        raise ValueError(
            "boxes must be (cx, cy, rx, ry), finite and with half extents of 0 or more; "
            "rows of NaN stand for no box"
        )
    if scores is not None:
        if scores.shape != boxes.shape[:-1]:
            raise ValueError(
                f"scores must be one for each box, {tuple(boxes.shape[:-1])}, "
                f"got {tuple(scores.shape)}"
            )
        if bool(scores[present].isnan().any()):
            raise ValueError("every box needs a score, got NaN; make it no box by NaN in its row")
    return present
