"""ResNets without a head; three stages on digits, and what stands between the second and third."""

import functools

import pytest
import torch
from torch import nn

import interlace
from interlace.models.backbones.resnet import resnet_trunk
from interlace.models.baselines import ConvLSTMBlock, MeanPoolLSTM, NonLocalBlock
from interlace.models.classifier import VideoClassifier
from interlace.models.insertion.insert import over_video
from interlace.models.registry import create_model
from tolerances import FLOAT32

RSTG = functools.partial(interlace.RSTG, width=16)


def network(block=None, *, classes=56):
    trunk = resnet_trunk(18, stages=3, in_channels=1)
    body = over_video(trunk) if block is None else interlace.insert(trunk, {"layer2": block})
    return VideoClassifier(nn.Identity(), body, classes)


def count(module):
    return sum(p.numel() for p in module.parameters())


def awake(module):
    """In eval mode, with batch norms that have seen something, and no zeros left."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        for value in module.parameters():
            if not bool(value.any()):
                value.normal_(std=0.3)
    return module.eval()


@pytest.mark.parametrize(
    ("name", "count_of"),
    [  # DyReg, Table 6: 2.79, 2.82, 2.85, 2.83, 3.08 M
        ("resnet18", 2_790_904),
        ("dyreg_fixed", 2_825_784),
        ("dyreg_semantic", 2_826_945),
        ("dyreg_light", 2_838_633),
        ("dyreg", 3_085_664),
    ],
)
def test_the_size_of_table_6(name, count_of):
    assert count(create_model(name, num_classes=56)) == count_of


@pytest.mark.parametrize("block", [ConvLSTMBlock, NonLocalBlock])
def test_the_replacements_of_a_graph_have_its_size(block):
    assert count(network(block)) == pytest.approx(3.08e6, rel=0.01)  # DyReg, Table 6


@torch.no_grad()
def test_a_trunk_is_torchvision_s_network():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    whole = awake(resnet18(weights=None))
    trunk = resnet_trunk(18, stages=3)
    assert trunk.state_dict().keys() <= whole.state_dict().keys()
    trunk.load_state_dict(whole.state_dict(), strict=False)
    body = over_video(trunk).eval()
    video = torch.rand(2, 3, 3, 50, 37)
    expected = video.flatten(0, 1)
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        expected = whole.get_submodule(name)(expected)
    found = body(video)
    assert found.shape == (2, 3, 256, 4, 3)
    torch.testing.assert_close(found.flatten(0, 1), expected, **FLOAT32)


@pytest.mark.parametrize(
    ("depth", "stages", "shape"),
    [(18, 1, (64, 32, 32)), (18, 2, (128, 16, 16)), (34, 4, (512, 4, 4)), (50, 3, (1024, 8, 8))],
)
@torch.no_grad()
def test_what_comes_out_of_each_stage(depth, stages, shape):
    trunk = resnet_trunk(depth, stages=stages, in_channels=1)
    assert trunk.out_channels == shape[0]
    features = trunk(torch.rand(2, 1, 128, 128))
    assert features.shape == (2, *shape)
    assert features.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_a_frame_is_seen_alone_once_trained():
    torch.manual_seed(0)
    body, video = awake(network().body), torch.rand(2, 3, 1, 40, 30)
    torch.testing.assert_close(body(video[1:, 2:]), body(video)[1:, 2:], **FLOAT32)


@torch.no_grad()
def test_it_can_be_pre_trained_frame_by_frame_without_its_graph():
    torch.manual_seed(0)
    model, video = awake(network(RSTG)), torch.rand(2, 3, 1, 40, 30)
    trunk = model.network
    assert trunk.per_frame
    assert trunk.seen_channels == trunk.out_channels == 256
    seen = trunk.see(video)
    assert torch.equal(trunk.locate(seen), seen)
    torch.testing.assert_close(seen[1, 2], trunk(video[1, 2:])[0], **FLOAT32)
    assert float((seen - model.body(video)).abs().max()) > 1e-3  # where the graph adds to it
    assert not create_model("i3d_r50").network.per_frame


def test_only_stages_1_to_4_exist():
    for stages in (0, 5):
        with pytest.raises(ValueError, match="stages 1 to 4"):
            resnet_trunk(18, stages=stages)


@torch.no_grad()
def test_a_fresh_graph_in_the_middle_changes_nothing():
    torch.manual_seed(0)
    plain, video = awake(network()), torch.rand(2, 3, 1, 40, 30)
    for block in (RSTG, ConvLSTMBlock, NonLocalBlock):
        model = network(block).eval()
        found = model.load_state_dict(plain.state_dict(), strict=False)
        assert not found.unexpected_keys
        assert all(key.startswith("body.graphs.layer2.") for key in found.missing_keys)
        torch.testing.assert_close(model(video), plain(video), **FLOAT32)


@pytest.mark.parametrize(
    "block",
    [None, ConvLSTMBlock, RSTG],
    ids=["none", "conv-lstm", "rstg"],
)
@torch.no_grad()
def test_a_stream_is_its_clip(block):
    torch.manual_seed(0)
    model = awake(network(block, classes=7))
    video = torch.rand(2, 5, 1, 50, 37)
    whole, last = model(video, return_state=True)
    for chunks in ([1, 1, 1, 1, 1], [1, 3, 1], [2, 3]):
        state = None
        for chunk in video.split(chunks, dim=1):
            logits, state = model(chunk, state, return_state=True)
        torch.testing.assert_close(logits, whole, **FLOAT32)
        torch.testing.assert_close(state.mean, last.mean, **FLOAT32)
    assert float((model(video[:, 4:]) - whole).abs().max()) > 1e-4  # the state matters


@torch.no_grad()
def test_the_mean_is_over_space_and_frames():
    torch.manual_seed(0)
    model, video = awake(network(classes=7)), torch.rand(2, 3, 1, 50, 37)
    maps = model.body(video)
    torch.testing.assert_close(model(video), model.head(maps.mean((1, 3, 4))), **FLOAT32)


@torch.no_grad()
def test_states_that_do_not_belong_are_refused():
    model, video = network(classes=7).eval(), torch.rand(2, 2, 1, 40, 30)
    with pytest.raises(ValueError, match="entries for no place"):
        model(video, (torch.zeros(1),))
    with pytest.raises(ValueError, match="state must be"):
        model(video[:1], model(video, return_state=True)[1])
    model = network(NonLocalBlock, classes=7).eval()
    assert model(video, return_state=True)[1] is None
    for state in (torch.zeros(1), {"layer2": torch.zeros(1)}):
        with pytest.raises(ValueError, match="whole clips"):
            model(video, state)


@torch.no_grad()
def test_the_block_s_state_and_trace_are_handed_through():
    model, features = network(RSTG).eval(), []
    hook = model.network.layer2.register_forward_hook(lambda _, args, out: features.append(out))
    _, state, traces = model(torch.rand(1, 3, 1, 48, 40), return_state=True, return_trace=True)
    hook.remove()
    block = model.body.graphs["layer2"]
    maps = features[0].unflatten(0, (1, 3))
    _, inner, shown = block(maps, return_state=True, return_trace=True)
    torch.testing.assert_close(traces["layer2"].nodes, shown.nodes, **FLOAT32)
    assert type(state.body["layer2"]) is type(inner)
    plain = network().eval()
    assert plain(torch.rand(1, 3, 1, 48, 40), return_trace=True)[1] is None


def test_a_vector_in_the_middle_of_a_network_is_refused():
    model = network(MeanPoolLSTM)
    with pytest.raises(ValueError, match="must keep the shape of the map"):
        model(torch.rand(1, 2, 1, 48, 40))


@pytest.mark.parametrize("block", [None, ConvLSTMBlock, NonLocalBlock])
def test_every_parameter_gets_a_gradient(block):
    torch.manual_seed(0)
    model = awake(network(block, classes=7))
    model.train()(torch.rand(2, 3, 1, 64, 50)).logsumexp(-1).sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # key biases add the same to all scores of a query, which a softmax does not see
    assert all(key.endswith("key.bias") for key in without)
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
