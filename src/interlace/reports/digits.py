"""Synthetic videos of digits that a model was not shown, and what it looked at in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from interlace.data.digits.datasets import batches, load_split, video_options
from interlace.data.digits.moving import MovingDigits as Videos
from interlace.evaluation.evaluate import Evaluation, classify, evaluate
from interlace.models.classifier import traces_of
from interlace.models.registry import open_weights
from interlace.reports.explained import ClipReport, explain_clip
from interlace.reports.held_out import DigitChoice, Trained
from interlace.training.renamed import upgraded


class HeldOutDigits(Trained):
    """Weights for synthetic videos, with the test videos that their card describes.

    Args:
        weights: a safetensors file with a card.
        choice: what is other than the card says.
    """

    called = "videos"
    shown = "those in which digits move together, right and wrong ones in turn"

    def __init__(self, weights: Path, choice: DigitChoice = DigitChoice()):  # noqa: B008, frozen
        self.weights = weights
        self.model, self.card = open_weights(weights)
        chosen: dict[str, Any] = {
            "digits": choice.digits, "num_digits": choice.num_digits, "test_size": choice.videos,
        }  # fmt: skip
        try:
            data = upgraded({"data": self.card["data"]})["data"]
            options = video_options(data["name"])(**data)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the card of {weights} does not describe videos ({error}): take weights that "
                "`interlace train` wrote, or a newer interlace"
            ) from error
        self.options = replace(options, **{k: v for k, v in chosen.items() if v is not None})
        self.videos = shown = load_split(self.options, "test")
        self.classes = class_names(shown)
        self.about = (
            f"{options.name} of {self.options.digits} digits, {shown.num_digits} on screen, "
            f"{shown.classes} classes, {shown.num_frames} frames of {shown.frame} x {shown.frame}"
        )

    def evaluate(self, *, bf16: bool) -> tuple[Evaluation, dict[str, Any]]:
        """On a GPU where there is one; with how well regions sit on the digits."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        shown = batches(self.videos, 100, device)
        classes = self.card["num_classes"]
        result = evaluate(self.model.to(device), shown, classes, bf16=bf16, regions=True)
        self.model.cpu()
        return result, {"data": asdict(self.options)}

    def explain(self, result: Evaluation, count: int) -> list[ClipReport]:
        """As `choose_clips` says."""
        return explain_videos(self.model, self.videos, choose_clips(self.model, self.videos, count))


def explain_videos(model: nn.Module, videos: Videos, indices: Sequence[int]) -> list[ClipReport]:
    """Pictures and sentences for some videos of a data set.

    Args:
        model: a classifier; one without a graph gets pictures of its prediction only.
        videos: of the data set it was trained for.
        indices: which.
    """
    reports = []
    for index in indices:
        ((one, said),) = classify(model, [videos.batch([index])], return_trace=True)
        report = explain_clip(
            one.video[0],
            next(iter(traces_of(said.trace).values()), None),
            said.scores[0].exp(),
            class_names(videos),
            label=int(one.label),
            boxes=one.boxes[0],
            highlight=one.synchronous[0],
            box_names=digit_names(one.classes[0].tolist()),
        )
        report.text.append(f"This is video {index} of the {videos.split} split.")
        reports.append(report)
    return reports


def choose_clips(model: nn.Module, videos: Videos, count: int, *, search: int = 60) -> list[int]:
    """Which videos tell most of a model: with digits that move together, right and wrong in turn.

    The same model always gets the same videos. Where right or wrong ones run out, the others fill
    up; videos in which nobody moves alike come last.

    Args:
        count: how many, or as many as there are.
        search: how many videos, from the first, to choose from.
    """
    if count < 1:
        return []
    looked_at = range(min(max(search, count), len(videos)))
    shown = (videos.batch(looked_at[first : first + 20]) for first in looked_at[::20])
    pairs: list[bool] = []
    hits: list[bool] = []
    for batch, said in classify(model, shown):
        pairs += batch.synchronous.any(1).tolist()
        hits += (said.scores.argmax(1) == batch.label).tolist()
    right = [n for n in looked_at if pairs[n] and hits[n]]
    wrong = [n for n in looked_at if pairs[n] and not hits[n]]
    still = [n for n in looked_at if not pairs[n]]
    turns = min(len(right), len(wrong))
    mixed = [index for both in zip(right, wrong, strict=False) for index in both]
    return [*mixed, *right[turns:], *wrong[turns:], *still][:count]


def digit_names(classes: Sequence[int]) -> list[str]:
    """What the digits of a video are called; those of one class are told apart by letters.

    Example:
        >>> digit_names([3, 8, 3])
        ['digit 3 (a)', 'digit 8', 'digit 3 (b)']
    """
    names = []
    for n, kind in enumerate(classes):
        letter = f" ({chr(ord('a') + classes[:n].count(kind))})" if classes.count(kind) > 1 else ""
        names.append(f"digit {kind}{letter}")
    return names


def class_names(videos: Videos) -> list[str]:
    """The label of every class in words."""
    return [videos.class_name(label) for label in range(videos.num_classes)]
