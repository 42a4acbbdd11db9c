"""What a run starts from: weights of the same model, or of its backbone alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from interlace.models.backbones.weights import load_backbone
from interlace.models.classifier import VideoClassifier
from interlace.models.weights import load_weights, read_card
from interlace.training.options import Options

log = logging.getLogger(__name__)


def start_from(
    network: VideoClassifier, options: Options, classes: Sequence[str] | None = None
) -> None:
    """Fills a network with what the options say, unless a checkpoint comes anyway.

    Args:
        network: changed in place.
        options: of the run.
        classes: their names, where the run knows them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another model.
    """
    model = options.model
    if (options.folder / "last.ckpt").exists():
        return
    if model.weights is not None:
        card = read_card(model.weights)
        same = card.get("num_classes", network.num_classes) == network.num_classes
        if classes is not None and "classes" in card:
            same = list(card["classes"]) == list(classes)
        if same:
            load_weights(network, model.weights, name=model.name)
        else:
            for part in ("backbone", "body"):
                own = network.get_submodule(part)
                load_weights(own, model.weights, name=model.name, part=f"{part}.")
        head = "the head, too" if same else "but not the head, which is for other classes"
        log.info(f"starts from {model.weights}, {head}")
    elif model.backbone is not None:
        load_backbone(network, model.backbone)
