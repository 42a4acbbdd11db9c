"""The released models: ResNets on each frame, with temporal shifts, with dynamic graphs.

DyReg-GNN, section 4.1: TSM-ResNet-50 with a graph in each of the last three stages. In the released
program it stands in a bottleneck, between the 3 x 3 convolution and its norm. Without graphs these
are the networks of the TSM program, and without shifts those of torchvision and timm.
"""

from __future__ import annotations

from torch import Tensor

from interlace.models.backbones.normalise import Normalise
from interlace.models.backbones.resnet import resnet_trunk
from interlace.models.backbones.shift import add_shift
from interlace.models.classifier import VideoClassifier
from interlace.models.convert.names import Parts, sort_tensors
from interlace.models.convert.pytorch import dyreg_from_pytorch, map_side
from interlace.models.convert.tensors import Arrays, fill
from interlace.models.insertion.insert import insert, over_video


def tsm_from_pytorch(tensors: Arrays | Parts) -> VideoClassifier:
    """A released network, such as TSM-ResNet-50 with dynamic graphs, with our classifiers' face.

    How deep it is, where shifts and graphs are, widths, layers and the size of maps follow from the
    tensors. Each graph takes maps of one size: 28, 14 and 7 cells a side for frames of 224 x 224.

    Args:
        tensors: name -> array, of a released checkpoint or of their program; or these, sorted.

    Returns:
        The model, in eval mode, over video in [0, 1]; traces come as a dict, by module name.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this model has no place for.
    """
    parts = tensors if isinstance(tensors, Parts) else sort_tensors(tensors)
    if parts.unknown:
        raise ValueError(f"not used from the checkpoint: {', '.join(sorted(parts.unknown))}")
    if parts.head.keys() != {"weight", "bias"}:
        raise KeyError("the checkpoint lacks the head of the model, new_fc or fc: weight and bias")
    body = over_video(fill(resnet_trunk(parts.depth), parts.trunk))
    if parts.shifted:
        add_shift(body, at=parts.shifted)
    if parts.graphs:
        insert(body, {at: dyreg_from_pytorch(own) for at, own in parts.graphs.items()})
    sides = {map_side(own) * _stride(at) for at, own in parts.graphs.items()}
    if len(sides) > 1:
        raise ValueError(f"the graphs of this checkpoint are for frames of {sorted(sides)} pixels")
    frames = FramesOfOneSize(sides.pop()) if sides else Normalise()
    model = VideoClassifier(frames, body, len(parts.head["bias"]))
    fill(model.head, parts.head)
    return model.eval()


class FramesOfOneSize(Normalise):
    """Refuses frames that the graphs of the released program were not made for.

    Args:
        side: pixels.
    """

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, side, side) -> the same."""
        if tuple(video.shape[2:]) != (3, self.side, self.side):
            raise ValueError(
                f"video must be (B, T, 3, {self.side}, {self.side}), got {tuple(video.shape)}: "
                "the released graphs take maps of one size; resize or crop the frames"
            )
        return super().forward(video)


def _stride(at: str) -> int:
    """Pixels to a cell after a convolution of a stage, such as layer3.4.conv2."""
    return 2 ** (int(at.removeprefix("layer").split(".")[0]) + 1)
