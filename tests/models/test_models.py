"""One contract for all registered models of digits; test_video_models.py has those of videos."""

import copy

import pytest
import torch
from torch import nn

from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.sharp import SharpRegions
from interlace.graph.trace import Trace
from interlace.models.baselines import MeanPool
from interlace.models.classifier import VideoClassifier
from interlace.models.registry import create_model, list_models
from registered import awake
from tolerances import BFLOAT16, FLOAT32

ALL = list_models(channels=1)
GRAPHS = [name for name in ALL if name.startswith(("rstg_", "dyreg"))]
WHOLE_CLIP = [name for name in ALL if name.startswith(("i3d", "nonlocal", "resnet18_nonlocal"))]
CONSTANT = [name for name in ALL if name.startswith("dyreg_constant")]
BOUND = {name: 10 for name in ALL if name.startswith("rstg_content")}  # nodes, silent or not
BOUND |= {"rstg_objects": 16, "rstg_objects_given": 16, "dyreg_objects": 16}
GRIDS = [name for name in ALL if name.startswith("rstg_grid")]
STREAMS = [name for name in ALL if name not in [*WHOLE_CLIP, *CONSTANT]]


def model_of(name):
    model = awake(name)
    return Told(model) if model.needs_boxes else model


class Told(torch.nn.Module):
    """Tells a model that wants to know where the objects are, in every call."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, video, *args, **options):
        generator = torch.Generator().manual_seed(1)
        boxes = torch.rand(1, 1, 4, 4, generator=generator) / 2 + 0.2
        return self.model(video, *args, boxes=boxes.expand(*video.shape[:2], -1, -1), **options)


def video_of(frames=3, *, clips=2, size=(50, 37), seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (clips, frames, 1, *size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def largest(value):
    return float(value.detach().abs().max())


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_logits_are_finite_for_odd_sizes_and_depend_on_each_clip_alone(name):
    model, video = model_of(name), video_of()
    logits = model(video)
    assert logits.shape == (2, 7)
    assert bool(logits.isfinite().all())
    assert largest(logits[0] - logits[1]) > 1e-5
    torch.testing.assert_close(model(video[1:]), logits[1:], **FLOAT32)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_bytes_and_floats_are_the_same_video(name):
    video = video_of()
    torch.testing.assert_close(model_of(name)(video), model_of(name)(video / 255), **FLOAT32)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_gets_a_gradient(name):
    model = model_of(name)
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(video_of()), torch.tensor([1, 4])).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("name", STREAMS)
@torch.no_grad()
def test_a_stream_is_its_clip(name):
    model, video = model_of(name), video_of(5, size=(24, 24))
    whole, last = model(video, return_state=True)
    state = None
    for chunk in (video[:, :1], video[:, 1:4], video[:, 4:]):
        logits, state = model(chunk, state, return_state=True)
    torch.testing.assert_close(logits, whole, **FLOAT32)
    assert size_of(state) == size_of(last)
    started_late = model(video[:, 4:])
    assert largest(started_late - whole) > 1e-5  # the state matters


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_logits_of_every_frame(name):
    """The last are those of the clip, the others of the frames so far, for who sees no future."""
    model, video = model_of(name), video_of(4, size=(24, 24))
    plain, last = model(video, return_state=True)
    every, state = model(video, every_frame=True, return_state=True)
    torch.testing.assert_close(every[:, -1], plain, **FLOAT32)
    assert size_of(state) == size_of(last)
    if name in WHOLE_CLIP:
        assert every.dim() == 3
        return
    assert every.shape == (2, 4, 7)
    assert largest(every[:, 0] - plain) > 1e-5
    if name in STREAMS:
        torch.testing.assert_close(every[:, 1], model(video[:, :2]), **FLOAT32)
        _, state = model(video[:, :3], return_state=True)
        rest = model(video[:, 3:], state, every_frame=True)
        torch.testing.assert_close(rest[:, 0], plain, **FLOAT32)


def size_of(state):
    if isinstance(state, torch.Tensor):
        return state.numel()
    if state is None:
        return 0
    return sum(size_of(part) for part in (state.values() if isinstance(state, dict) else state))


@pytest.mark.parametrize(
    "name", ["rstg_content", "rstg_objects_given", "mean_lstm_small", "i3d_small", "dyreg"]
)
@torch.no_grad()
def test_classes_from_features_that_were_kept(name):
    """Whole, and as a stream, with boxes, and all that a call may be asked for."""
    model, video = awake(name), video_of(4, size=(24, 24))
    boxes = torch.rand(2, 4, 3, 4) / 2 + 0.2 if model.needs_boxes else None
    features = model.backbone(video / 255)
    for every_frame in (False, True):
        logits, state, trace = model(
            video, boxes=boxes, every_frame=every_frame, return_state=True, return_trace=True
        )
        kept, same, other = model.classify(
            features, boxes=boxes, every_frame=every_frame, return_state=True, return_trace=True
        )
        torch.testing.assert_close(kept, logits, **FLOAT32)
        assert size_of(same) == size_of(state)
        assert type(other) is type(trace)
    if name in STREAMS:
        first, second = (None, None) if boxes is None else boxes.split(2, 1)
        _, state = model.classify(features[:, :2], boxes=first, return_state=True)
        rest = model.classify(features[:, 2:], state, boxes=second)
        torch.testing.assert_close(rest, logits[:, -1], **FLOAT32)


@torch.no_grad()
def test_a_neck_before_the_head():
    """By hand; of every frame, too. Dropout, in training, comes after it."""
    torch.manual_seed(0)
    body, neck = MeanPool(3), nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    model = VideoClassifier(nn.Identity(), body, 4, dropout=1.0, neck=neck)
    video = torch.rand(2, 5, 3, 4, 6)
    means = video.mean((-2, -1)).cumsum(1) / torch.arange(1, 6)[:, None]  # of the frames so far
    assert torch.equal(model(video), model.head.bias.expand(2, 4))  # all is dropped
    model.eval()
    expected = model.head((means @ neck[0].weight.t() + neck[0].bias).relu())
    torch.testing.assert_close(model(video, every_frame=True), expected, **FLOAT32)
    torch.testing.assert_close(model(video), expected[:, -1], **FLOAT32)
    assert isinstance(
        create_model("rstg_all_temp_small").neck, nn.Identity
    )  # the papers' have none


@pytest.mark.parametrize("name", WHOLE_CLIP)
@torch.no_grad()
def test_a_3d_network_refuses_a_state(name):
    model, video = model_of(name), video_of()
    _, state = model(video, return_state=True)
    assert state is None
    with pytest.raises(ValueError, match="whole clips"):
        model(video, torch.zeros(1))


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_a_trace_comes_on_request_from_graphs_only(name):
    model, video = model_of(name), video_of()
    logits, trace = model(video, return_trace=True)
    torch.testing.assert_close(logits, model(video), **FLOAT32)
    if name not in GRAPHS:
        assert trace is None
        return
    if isinstance(trace, dict):  # between stages of a ResNet
        (trace,) = trace.values()
    assert isinstance(trace, Trace)
    nodes = next((n for n in (5, 16) if f"_{n}nodes" in name), 9 if "dyreg" in name else 14)
    nodes = BOUND.get(name, nodes)
    silent = trace.mass < 1
    if name == "rstg_objects_given":  # four boxes are given
        assert silent.sum(-1).unique().tolist() == [12]
    else:
        assert bool(silent.all()) is bool(silent.any()) is (name in BOUND)
    assert trace.boxes.shape == (2, 3, nodes, 4)
    assert trace.nodes.shape[:3] == (2, 3, nodes)
    area = trace.kernels.sum((-2, -1))
    torch.testing.assert_close(area, torch.ones_like(area), **FLOAT32)
    batch, frames, rounds, heads = trace.attention.shape[:4]
    ours = name.startswith(("rstg_content", "rstg_objects", "rstg_grid_motion", "rstg_grid_sharp"))
    assert (batch, frames, heads) == (2, 3, 4 if ours and "time_only" not in name else 1)
    if "time_only" in name:
        assert rounds == 0
    elif name.endswith("_small") or name in ("rstg_demo", *GRIDS, *BOUND):
        assert rounds >= 1
    else:
        assert rounds == 3  # RSTG, section 2.4
    rows = trace.attention.sum(-1)
    if "homogeneous" in name:  # the past is listened to as well
        assert bool((rows > 0).all())
        assert bool((rows < 1 + 1e-5).all())
    else:
        torch.testing.assert_close(rows, torch.ones_like(rows), **FLOAT32)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_bfloat16_is_finite_and_close(name):
    model, video = model_of(name), video_of()
    full = model(video)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(video).float()
    assert bool(half.isfinite().all())
    if any(isinstance(m, ContentRegions | SharpRegions) for m in model.modules()):
        # random maps have no peak: what a backbone's rounding does to places says nothing
        with torch.autocast("cpu", torch.bfloat16):
            features = model.backbone(video / 255)
        full = model.classify(features.float())
    assert largest(half - full) < BFLOAT16 * largest(full)


@pytest.mark.parametrize("name", [name for name in ALL if name.endswith("_small")])
def test_a_deep_copy_is_equal_and_apart(name):
    model, video = model_of(name), video_of()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before = model(video)
        assert torch.equal(twin(video), before)
        for value in twin.parameters():
            value.mul_(1.5)
        assert torch.equal(model(video), before)
        assert not torch.equal(twin(video), before)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("i3d", 9e6, 11e6),  # RSTG, appendix D: "around 10M", comparable with the graphs
        ("nonlocal", 9e6, 11e6),
        ("rstg_all_temp", 5e6, 10e6),
        ("rstg_positional", 5e6, 10e6),
    ],
)
def test_paper_size(name, least, most):
    assert least < sum(p.numel() for p in create_model(name).parameters()) < most


@pytest.mark.parametrize("name", [name for name in ALL if f"{name}_small" in ALL])
def test_the_small_size_is_smaller(name):
    paper, small = (create_model(n) for n in (name, f"{name}_small"))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in paper.parameters())


def test_what_sets_the_paper_s_variants_apart():
    def count(name):
        return sum(p.numel() for p in create_model(name).parameters())

    lstm = 2 * (4 * 512 * 512 + 4 * 512)  # one time stage of 512: two matrices, two biases
    assert count("rstg_all_temp") - count("rstg_1temp") == lstm
    assert count("rstg_1temp") - count("rstg_space_only") == lstm
    positions = 2 * 36 * 512  # sender's and receiver's 6 x 6 picture into the first send layer
    assert count("rstg_positional") - count("rstg_all_temp") == positions


@pytest.mark.parametrize("name", ["rstg_all_temp_small", "mean_lstm_small", "i3d_small"])
@torch.no_grad()
def test_wrong_videos_are_refused(name):
    model = model_of(name)
    with pytest.raises(ValueError, match=r"video\[None\]"):
        model(video_of()[0])
    with pytest.raises(ValueError, match=r"\(B, T, C, H, W\), got \(50, 37\)"):
        model(video_of()[0, 0, 0])
    with pytest.raises(ValueError, match=r"uint8 in 0\.\.255 or floats"):
        model(video_of().long())


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_order_of_frames_matters_to_whoever_sees_time(name):
    model, video = copy.deepcopy(model_of(name)), video_of(4, size=(24, 24))
    if name in WHOLE_CLIP:  # inflated kernels start out even in time
        for value in model.parameters():
            value.add_(torch.randn_like(value) * value.std(correction=0) * 0.3)
    changed = largest(model(video) - model(video.flip(1)))
    still = name.startswith("resnet18") and "lstm" not in name
    if ("space_only" in name and name not in BOUND) or still:  # a mean over time, told no motion
        assert changed < 1e-4
    else:
        assert changed > 1e-4
