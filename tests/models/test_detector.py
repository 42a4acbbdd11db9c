"""The detector: its boxes in our coordinates, in time; its weights; a model that looks there."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn

from interlace.models.detector import BoxDetector, WithDetector
from interlace.models.registry import create_model
from tolerances import FLOAT32


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return BoxDetector(None, nodes=4, side=64)


class Script(nn.Module):
    """Gives what is written, frame by frame, and takes down how many frames came at once."""

    def __init__(self, frames):
        super().__init__()
        self.frames, self.calls = list(frames), []

    def forward(self, images):
        self.calls.append(len(images))
        found, self.frames = self.frames[: len(images)], self.frames[len(images) :]
        return [
            {
                "boxes": torch.tensor([box for box, _ in one]).reshape(-1, 4),
                "scores": torch.tensor([score for _, score in one]),
            }
            for one in found
        ]


LEFT, RIGHT, POINT = [0.0, 0.0, 20.0, 10.0], [60.0, 20.0, 80.0, 40.0], [40.0, 40.0, 40.0, 40.0]


def scripted(detector, frames, monkeypatch):
    script = Script(frames)
    monkeypatch.setitem(detector._modules, "network", script)
    return script


def test_boxes_in_fractions_of_the_frame_follow_objects(detector, monkeypatch):
    frames = [
        [(LEFT, 0.9), (RIGHT, 0.8)],
        [(RIGHT, 0.9), (LEFT, 0.3)],
        [(RIGHT, 0.5)],
        [],
        [(POINT, 0.1), (LEFT, 0.6), (RIGHT, 0.2)],
    ]
    script = scripted(detector, frames, monkeypatch)
    boxes = detector(torch.rand(1, 5, 3, 40, 80))[0]
    assert script.calls == [4, 1]
    left, right = (
        torch.tensor([0.125, 0.125, 0.125, 0.125]),
        torch.tensor([0.875, 0.75, 0.125, 0.25]),
    )
    nothing = torch.full((4,), torch.nan)
    for t, (first, second) in enumerate(
        [(left, right), (left, right), (nothing, right), (nothing, nothing), (left, right)]
    ):
        torch.testing.assert_close(boxes[t, :2], torch.stack((first, second)), equal_nan=True)
    torch.testing.assert_close(boxes[4, 2], torch.tensor([0.5, 1.0, 0.0, 0.0]))
    assert bool(boxes[:4, 2:].isnan().all())


def test_only_the_surest_are_kept(detector, monkeypatch):
    many = [([float(k), 0.0, k + 1.0, 1.0], k / 10) for k in range(8)]
    scripted(detector, [many], monkeypatch)
    boxes = detector(torch.rand(1, 1, 3, 10, 10))[0, 0]
    assert sorted((boxes[:, 0] * 10).round(decimals=3).tolist()) == [4.5, 5.5, 6.5, 7.5]


def test_it_looks_at_real_frames_and_is_never_trained(detector):
    video = torch.randint(0, 256, (1, 2, 3, 64, 80), dtype=torch.uint8)
    boxes = detector.train()(video)
    assert not any(module.training for module in detector.modules())
    assert not any(p.requires_grad for p in detector.parameters())
    assert boxes.shape == (1, 2, 4, 4)
    found = detector.network(list(video[0] / 255))
    for t, frame in enumerate(found):
        inside = boxes[0, t][~boxes[0, t].isnan().any(-1)]
        assert len(inside) == len(frame["scores"]) <= 4
        assert bool(((inside >= 0) & (inside <= 1)).all())
    torch.testing.assert_close(detector(video / 255), boxes, equal_nan=True)
    with pytest.raises(ValueError, match=r"video must be \(B, T, 3, H, W\)"):
        detector(video[0])


@pytest.fixture
def published():
    """Tensors of the published names and shapes; each holds one number, so they are small."""
    with torch.device("meta"):
        network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    shapes = {k: v.shape for k, v in network.state_dict().items() if "num_batches" not in k}
    values = torch.rand(len(shapes), generator=torch.Generator().manual_seed(0))
    return {k: v.expand(shape) for v, (k, shape) in zip(values, shapes.items(), strict=True)}


def test_weights_from_a_file_or_by_name(published, tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    torch.save(published, path)
    asked = []
    monkeypatch.setattr(
        FasterRCNN_ResNet50_FPN_Weights,
        "get_state_dict",
        lambda self, **options: asked.append(self) or published,
    )
    for weights in (path, "coco"):
        own = BoxDetector(weights).network.state_dict()
        assert all(torch.equal(own[key], value) for key, value in published.items())
    assert asked == [FasterRCNN_ResNet50_FPN_Weights.COCO_V1]

    torch.save({k: v for k, v in published.items() if "rpn" not in k}, path)
    with pytest.raises(ValueError, match="lacks 6 of the"):
        BoxDetector(path)

    def offline(self, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(FasterRCNN_ResNet50_FPN_Weights, "get_state_dict", offline)
    with pytest.raises(OSError, match=r"no route to host.*download https://.*path of the file"):
        BoxDetector("coco")


@torch.no_grad()
def test_a_model_looks_where_its_detector_says(detector, monkeypatch):
    torch.manual_seed(0)
    model = create_model("tsm_r18_detector", num_classes=5).eval()
    for value in model.parameters():
        if not bool(value.any()):
            value.normal_(std=0.3)
    both, video = WithDetector(model, detector).eval(), torch.rand(1, 2, 3, 64, 64)
    scripted(detector, [[(LEFT, 0.9)], [(LEFT, 0.9)]], monkeypatch)
    logits, traces = both(video, return_trace=True)
    seen = torch.tensor([10 / 64, 5 / 64, 10 / 64, 5 / 64])
    torch.testing.assert_close(traces["layer3.0"].boxes[0, :, 0], seen.expand(2, 4))
    boxes = torch.full((1, 2, 4, 4), torch.nan)
    boxes[:, :, 0] = seen
    torch.testing.assert_close(logits, model(video, boxes=boxes), **FLOAT32)
    with pytest.raises(ValueError, match="matched within a clip"):
        both(video, return_state=True)
    with pytest.raises(ValueError, match="finds its regions itself"):
        WithDetector(create_model("tsm_r18_dyreg"), detector)
