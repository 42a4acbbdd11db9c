"""A model of your own by name: listed, trained and opened again like ours; takes seconds.

From the folder of this file, `interlace train --model own_model:tiny` works, too.

python examples/own_model.py
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import interlace
from interlace.models.backbones.normalise import Normalise
from interlace.models.registry import MODELS, open_weights
from interlace.models.weights import save_weights


@MODELS.register("tiny", "three convolutions on each frame, a graph after the second")
def tiny(num_classes: int) -> interlace.VideoClassifier:
    """Normalised frames, a network with a graph in it, and a head behind the mean."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 5, stride=4, padding=2), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
    )
    body = interlace.insert(network, {"3": partial(interlace.DyReg, nodes=4, width=16)})
    return interlace.VideoClassifier(Normalise(), body, num_classes)


def main(folder: str) -> Tensor:
    """Logits of the model, built by its name, saved and opened again."""
    model = interlace.create_model("own_model:tiny", num_classes=5).eval()
    card = {"model": "own_model:tiny", "num_classes": 5}  # as `interlace train` writes it
    path = save_weights(model, Path(folder) / "tiny.safetensors", card=card)
    again, _ = open_weights(path)
    logits = again.eval()(torch.rand(1, 8, 3, 64, 64))  # (B, T, 3, H, W) -> (B, num_classes)
    print(f"{card['model']}: logits {tuple(logits.shape)}")
    return logits


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(folder)
