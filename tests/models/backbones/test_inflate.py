"""3D networks: inflation keeps what a 2D network knows; the non-local block against loops."""

import copy
import math

import pytest
import torch
from torch import nn

from graphs import draw, randomise
from interlace.models.backbones.i3d import small_i3d_trunk
from interlace.models.backbones.inflate import inflate
from interlace.models.baselines import NonLocal
from tolerances import EXACT


def flat_network():
    """Two 3x3 convolutions, so that the first and last 2 frames see beyond the ends."""
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Sequential(nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=2)),
    )
    randomise(network)
    network[1].running_mean.copy_(draw(6))
    network[1].running_var.copy_(draw(6).abs() + 0.5)
    return network.eval()


@pytest.mark.parametrize("frames", [3, 5])
@torch.no_grad()
def test_a_video_of_equal_frames_gives_what_the_frame_gives(frames):
    at = None if frames == 3 else {"0": frames, "4.2": frames}
    network, image = flat_network(), draw(3, 2, 13, 18)
    expected = network(image)
    found = inflate(copy.deepcopy(network), at=at).eval()(
        image[:, :, None].expand(-1, -1, 9, -1, -1)
    )  # (B, C, T, H, W)
    assert found.shape[2] == 9  # no stride in time
    far = 2 * (frames // 2)  # two convolutions reach so far
    inner = found[:, :, far : 9 - far]
    torch.testing.assert_close(inner, expected[:, :, None].expand_as(inner), **EXACT)
    assert float((found[:, :, 0] - expected).abs().max()) > 1e-3  # zeros lie beyond the end


@torch.no_grad()
def test_one_by_one_kernels_stay_within_a_frame():
    network = inflate(nn.Sequential(nn.Conv2d(3, 4, 1)).double())
    video = draw(1, 3, 5, 4, 4)
    other = video.clone()
    other[:, :, 2] += 1
    changed = (network(video) - network(other)).abs().amax((0, 1, 3, 4)) > 0
    assert changed.tolist() == [False, False, True, False, False]


@torch.no_grad()
def test_small_i3d_on_equal_frames_gives_equal_maps_away_from_the_ends():
    torch.manual_seed(0)
    network = small_i3d_trunk(base=8, blocks=1).double().eval()
    features = network(draw(1, 1, 1, 33, 47).expand(-1, -1, 17, -1, -1))
    assert features.shape == (1, 1024, 17, 3, 3)
    reach = 1 + 3  # a 7x7 stem and three bottlenecks
    inner = features[:, :, reach : 17 - reach]
    torch.testing.assert_close(inner, inner[:, :, :1].expand_as(inner), **EXACT)


@torch.no_grad()
def test_a_fresh_non_local_block_is_the_identity():
    x = draw(2, 6, 3, 5, 4).float()
    block = NonLocal(6)
    assert torch.equal(block.eval()(x), x)
    assert torch.equal(block.train()(x), x)


@pytest.mark.parametrize("size", [(3, 5, 4), (2, 1, 1), (1, 2, 3)])
@torch.no_grad()
def test_non_local_is_attention_over_all_places_and_frames(size):
    block = randomise(NonLocal(4)).eval()
    block.norm.running_mean.copy_(draw(4, seed=3))
    block.norm.running_var.copy_(draw(4, seed=4).abs() + 0.5)
    x = draw(2, 4, *size)
    torch.testing.assert_close(block(x), naive_non_local(block, x), **EXACT)


def naive_non_local(block, x):
    """y_i = x_i + BN(W sum_j softmax_j(q_i . k_j) v_j), place by place."""
    batch, channels, time, height, width = x.shape

    def layer(conv, vector):
        return [
            sum(float(conv.weight[o, i]) * vector[i] for i in range(len(vector)))
            + float(conv.bias[o])
            for o in range(conv.weight.shape[0])
        ]

    result = x.clone()
    for b in range(batch):
        pooled = []  # 2 x 2 places of a frame become one; a single place stays
        for t in range(time):
            step = 2 if min(height, width) > 1 else 1
            for h in range(0, height - step + 1, step):
                for w in range(0, width - step + 1, step):
                    window = x[b, :, t, h : h + step, w : w + step]
                    pooled.append([float(window[c].max()) for c in range(channels)])
        keys = [layer(block.key, place) for place in pooled]
        values = [layer(block.value, place) for place in pooled]
        for t in range(time):
            for h in range(height):
                for w in range(width):
                    query = layer(block.query, x[b, :, t, h, w].tolist())
                    scores = [sum(q * k for q, k in zip(query, key, strict=True)) for key in keys]
                    top = max(scores)
                    weights = [math.exp(s - top) for s in scores]
                    total = sum(weights)
                    seen = [
                        sum(a * v[d] for a, v in zip(weights, values, strict=True)) / total
                        for d in range(len(query))
                    ]
                    for c, out in enumerate(layer(block.out, seen)):
                        norm = block.norm
                        spread = math.sqrt(float(norm.running_var[c]) + norm.eps)
                        out = (out - float(norm.running_mean[c])) / spread
                        result[b, c, t, h, w] += out * float(norm.weight[c]) + float(norm.bias[c])
    return result
