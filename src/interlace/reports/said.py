"""What a model said of each video, a line each: a CSV file beside an evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from interlace.evaluation.evaluation import Evaluation
from interlace.files import write_rows


def write_said(
    path: str | os.PathLike[str],
    names: Sequence[str],
    classes: Sequence[str],
    result: Evaluation,
) -> Path:
    """Writes the path of each video, its true class, the one it was taken for, and all scores.

    Args:
        path: a CSV file, with the columns path, label, predicted, and "score NAME" of each class.
        names: of the videos, in their order.
        classes: what they are called.
        result: of a model on the videos.
    """
    rows = [["path", "label", "predicted", *(f"score {name}" for name in classes)]]
    said = zip(names, result.labels.tolist(), result.scores.tolist(), strict=True)
    for name, label, scores in said:
        predicted = classes[scores.index(max(scores))]
        rows.append([name, classes[label], predicted, *(f"{s:.6g}" for s in scores)])
    return write_rows(path, rows)
