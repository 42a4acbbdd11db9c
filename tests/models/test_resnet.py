"""ResNet-18 cut in two and joined again, and a graph put in between."""

import pytest
import torch
from torch import nn

import interlace
from interlace.models.backbones.resnet import ResNet18, resnet18_stage
from interlace.models.baselines import MeanPoolLSTM
from interlace.models.classifier import VideoClassifier
from interlace.models.drop_in import ConvLSTMBlock, NonLocalBlock
from interlace.models.staged import Staged
from tolerances import FLOAT32


def network(block=None, *, classes=56):
    body = Staged(block, resnet18_stage(3), out_channels=256)
    return VideoClassifier(ResNet18(), body, classes)


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


def test_the_plain_network_has_the_paper_s_size():
    assert count(network()) == 2_790_904  # DyReg, Table 6: 2.79 M


@pytest.mark.parametrize("block", [ConvLSTMBlock, NonLocalBlock])
def test_the_replacements_of_a_graph_have_its_size(block):
    assert count(network(block(128))) == pytest.approx(3.08e6, rel=0.01)  # DyReg, Table 6


@torch.no_grad()
def test_the_two_parts_are_torchvision_s_network():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    whole = awake(resnet18(weights=None))
    first, rest = ResNet18(3), resnet18_stage(3)
    assert first.layers.state_dict().keys() | rest.state_dict().keys() <= whole.state_dict().keys()
    first.layers.load_state_dict(whole.state_dict(), strict=False)
    rest.load_state_dict(whole.state_dict(), strict=False)
    body = Staged(None, rest, out_channels=256).eval()
    video = torch.rand(2, 3, 3, 50, 37)
    expected = video.flatten(0, 1)
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        expected = whole.get_submodule(name)(expected)
    found = body(first.eval()(video))
    assert found.shape == (2, 3, 256, 4, 3)
    torch.testing.assert_close(found.flatten(0, 1), expected, **FLOAT32)


@pytest.mark.parametrize(("stages", "shape"), [(1, (64, 32, 32)), (2, (128, 16, 16))])
@torch.no_grad()
def test_what_comes_out_of_each_stage(stages, shape):
    backbone = ResNet18(stages=stages)
    assert backbone.per_frame
    assert backbone.seen_channels == backbone.out_channels == shape[0]
    video = torch.rand(1, 2, 1, 128, 128)
    features = backbone(video)
    assert features.shape == (1, 2, *shape)
    assert features.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    backbone.eval()
    assert torch.equal(backbone.locate(backbone.see(video)), backbone(video))
    after = resnet18_stage(stages + 1)(features.flatten(0, 1))
    assert after.shape == (2, 2 * shape[0], shape[1] // 2, shape[2] // 2)


@torch.no_grad()
def test_a_frame_is_seen_alone_once_trained():
    torch.manual_seed(0)
    backbone, video = awake(ResNet18()), torch.rand(2, 3, 1, 40, 30)
    torch.testing.assert_close(backbone(video[1:, 2:]), backbone(video)[1:, 2:], **FLOAT32)


def test_only_stages_1_to_4_exist():
    for build in (lambda: ResNet18(stages=5), lambda: resnet18_stage(0)):
        with pytest.raises(ValueError, match="stages 1 to 4"):
            build()


@torch.no_grad()
def test_a_fresh_graph_in_the_middle_changes_nothing():
    torch.manual_seed(0)
    plain, video = awake(network()), torch.rand(2, 3, 1, 40, 30)
    for block in (interlace.RSTG(128, width=16), ConvLSTMBlock(128), NonLocalBlock(128)):
        model = network(block.eval()).eval()
        found = model.load_state_dict(plain.state_dict(), strict=False)
        assert not found.unexpected_keys
        assert all(key.startswith("body.block.") for key in found.missing_keys)
        torch.testing.assert_close(model(video), plain(video), **FLOAT32)


@pytest.mark.parametrize(
    "block",
    [None, ConvLSTMBlock, lambda c: interlace.RSTG(c, width=16)],
    ids=["none", "conv-lstm", "rstg"],
)
@torch.no_grad()
def test_a_stream_is_its_clip(block):
    torch.manual_seed(0)
    model = awake(network(block and block(128), classes=7))
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
    maps = model.body(model.backbone(video))
    torch.testing.assert_close(model(video), model.head(maps.mean((1, 3, 4))), **FLOAT32)


@torch.no_grad()
def test_states_that_do_not_belong_are_refused():
    model, video = network(classes=7).eval(), torch.rand(2, 2, 1, 40, 30)
    with pytest.raises(ValueError, match="without a block carries nothing"):
        model(video, (torch.zeros(1),))
    with pytest.raises(ValueError, match="state must be"):
        model(video[:1], model(video, return_state=True)[1])
    model = network(NonLocalBlock(128), classes=7).eval()
    assert model(video, return_state=True)[1] is None
    with pytest.raises(ValueError, match="whole clips"):
        model(video, torch.zeros(1))


@torch.no_grad()
def test_the_block_s_state_and_trace_are_handed_through():
    block = interlace.RSTG(128, width=16)
    body = Staged(block, resnet18_stage(3), out_channels=256).eval()
    features = torch.rand(1, 3, 128, 6, 5)
    maps, state, trace = body(features, return_state=True, return_trace=True)
    _, inner, shown = block(features, return_state=True, return_trace=True)
    assert torch.equal(trace.nodes, shown.nodes)
    assert type(state) is type(inner)
    assert torch.equal(body(features, return_trace=True)[0], maps)
    plain = Staged(None, body.rest, out_channels=256).eval()
    assert plain(features, return_state=True, return_trace=True)[1:] == ((), None)


def test_a_vector_in_the_middle_of_a_network_is_refused():
    body = Staged(MeanPoolLSTM(128), resnet18_stage(3), out_channels=256)
    with pytest.raises(ValueError, match="needs a map"):
        body(torch.rand(1, 2, 128, 6, 5))


@pytest.mark.parametrize("block", [None, ConvLSTMBlock, NonLocalBlock])
def test_every_parameter_gets_a_gradient(block):
    torch.manual_seed(0)
    model = awake(network(block and block(128), classes=7))
    model.train()(torch.rand(2, 3, 1, 64, 50)).logsumexp(-1).sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # key biases add the same to all scores of a query, which a softmax does not see
    assert all(key.endswith("key.bias") for key in without)
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
