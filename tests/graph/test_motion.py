"""Steps of nodes, and codes of where they are."""

import pytest
import torch

import naive_content as naive
from blobs import blobs, reads_channels
from graphs import draw, exact, random_dyreg, random_rstg, randomise, weights_of
from interlace.graph.kernels import RegionKernel
from interlace.graph.motion import Motion
from interlace.graph.position import WavePositions, waves
from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.regions import Regions
from tolerances import EXACT

EMPTY = RegionKernel(torch.zeros(0), torch.zeros(0))  # neither reads a kernel


def at(places, mass=None):
    """Regions at places (B, T, N, 2)."""
    return Regions(torch.cat((places, torch.full_like(places, 0.1)), -1), EMPTY, EMPTY, mass)


def walk(*shape, seed=0):
    return draw(*shape, 2, seed=seed).sigmoid(), draw(*shape, seed=seed + 1).sigmoid()


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"scale": 3.0, "reach": 0.1, "waves": (0.3, 2.0, 5.0)}, {"waves": ()}]
)
def test_motion_as_in_loops(options, weighed):
    module, (places, mass) = randomise(Motion(4, **options)), walk(2, 5, 3)
    codes, state = module(at(places, mass if weighed else None))
    mass = mass if weighed else torch.ones_like(mass)
    said = dict(options)
    said |= {"frequencies": said.pop("waves")} if "waves" in said else {}
    for b in range(2):
        for n in range(3):
            path, masses = places[b, :, n].tolist(), mass[b, :, n].tolist()
            expected = naive.motion(weights_of(module), path, masses, **said)
            torch.testing.assert_close(codes[b, :, n], exact(expected), **EXACT)
    torch.testing.assert_close(state, torch.cat((places, mass[..., None]), -1)[:, -1], **EXACT)


@pytest.mark.parametrize("identities", [0, 3])
@pytest.mark.parametrize("options", [{}, {"frequencies": (0.7, 3.0)}])
@pytest.mark.parametrize("weighed", [False, True])
def test_positions_as_in_loops(identities, options, weighed):
    module = randomise(WavePositions(4, identities=identities, **options))
    places, mass = walk(2, 2, 3)
    codes = module(at(places, mass if weighed else None))
    weights, expected = weights_of(module), []
    for k, place in enumerate(places.view(-1, 2).tolist()):
        m, own = mass.flatten()[k].item() if weighed else 1.0, k % 3 if identities else None
        expected.append(naive.wave_position(weights, place, m, own, **options))
    torch.testing.assert_close(codes, exact(expected).view(2, 2, 3, 4), **EXACT)


def test_waves_by_hand():
    expected = exact([[1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 1.0, 1.0]])  # a quarter and a half turn; none
    torch.testing.assert_close(waves(exact([[0.25, 0.0]]), (1.0, 2.0)), expected, **EXACT)


def told(path, *, scale=10.0, masses=None):
    """The step that the module knows of (T, 2), without waves and weights."""
    module = Motion(2, scale=scale, waves=()).double()
    with torch.no_grad():
        module.linear.weight.copy_(torch.eye(2))
        module.linear.bias.zero_()
    mass = None if masses is None else exact(masses)[None, :, None]
    return module(at(exact(path)[None, :, None], mass))[0][0, :, 0]


@pytest.mark.parametrize("scale", [1.0, 10.0, 4.0])
def test_a_step_of_a_tenth_of_the_frame(scale):
    """To the right and up, then a jump, which counts as a quarter of the frame at most."""
    found = told([(0.2, 0.5), (0.3, 0.4), (0.3, 0.4), (0.9, 0.35)], scale=scale)
    expected = scale * exact([(0, 0), (0.1, -0.1), (0, 0), (0.25, -0.05)])
    torch.testing.assert_close(found, expected, **EXACT)


def test_who_was_not_there_has_made_no_step():
    found = told([(0.2, 0.5), (0.3, 0.5), (0.4, 0.5), (0.5, 0.5)], masses=[1, 1, 0, 1])
    torch.testing.assert_close(found, exact([(0, 0), (1, 0), (0, 0), (0, 0)]), **EXACT)
    found = told([(0.2, 0.5), (0.3, 0.5)], masses=[0.5, 0.8])
    torch.testing.assert_close(found[1], exact([0.4, 0]), **EXACT)


def test_the_step_of_a_blob():
    """Read off features: a thing that moves by a whole number of cells, a tenth of the frame."""
    frames = [[(0, 0.325 + 0.1 * t, 0.625)] for t in range(4)]
    regions, _ = reads_channels(ContentRegions(1, 1))(blobs(frames, size=(20, 20)))
    assert regions.mass.min() > 0.99
    found = told(regions.boxes[0, :, 0, :2].tolist(), scale=7.0)
    expected = exact([(0, 0), *[(0.7, 0.0)] * 3])
    torch.testing.assert_close(found, expected, rtol=0, atol=7 * 1e-3)


@pytest.mark.parametrize("chunks", [[1] * 6, [2, 1, 3]])
@torch.no_grad()
def test_a_stream_is_the_clip(chunks):
    module, (places, mass) = randomise(Motion(4)), walk(2, 6, 3)
    whole, last = module(at(places, mass))
    state, parts = None, []
    for here in torch.arange(6).split(chunks):
        part, state = module(at(places[:, here], mass[:, here]), state)
        assert state.shape == (2, 3, 3)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **EXACT)
    torch.testing.assert_close(state, last, **EXACT)
    with pytest.raises(ValueError, match=r"state must be \(1, 3, 3\), got \(2, 3, 3\)"):
        module(at(places[:1]), state)


@pytest.mark.parametrize(
    "module", [Motion(4), WavePositions(4, identities=3)], ids=["motion", "where"]
)
def test_codes_have_the_gradient_of_their_formula(module):
    randomise(module)
    places, mass = (value.requires_grad_() for value in walk(1, 3, 3))

    def read(places, mass):
        codes = module(at(places, mass))
        return codes[0] if isinstance(codes, tuple) else codes

    assert torch.autograd.gradcheck(read, (places, mass))
    assert torch.autograd.gradgradcheck(read, (places, mass))
    read(places, mass).square().sum().backward()
    assert all(bool(p.grad.any()) for p in module.parameters())
    torch.testing.assert_close(
        torch.vmap(read)(places.expand(2, 1, 3, 3, 2), mass.expand(2, 1, 3, 3))[1],
        read(places, mass),
        **EXACT,
    )


@torch.no_grad()
def test_half_precision_tells_small_steps_apart():
    """A step of a thousandth of the frame is as in float32, and is not rounded away."""
    module = Motion(2, waves=())
    module.linear.weight.copy_(torch.eye(2))
    module.linear.bias.zero_()
    places = torch.tensor([[0.7, 0.6], [0.701, 0.6]])[None, :, None]
    with torch.autocast("cpu", torch.bfloat16):
        codes, state = module(at(places))
    assert state.dtype == torch.float32
    torch.testing.assert_close(
        codes[0, 1, 0].float(), torch.tensor([0.01, 0]), rtol=0.01, atol=1e-6
    )


@torch.no_grad()
def test_a_nan_is_not_hidden():
    module, (places, mass) = randomise(Motion(4)), walk(1, 4, 2)
    places[0, 1, 0, 0] = float("nan")
    codes, _ = module(at(places, mass))
    assert codes.isnan().all(-1)[0].tolist() == [
        [False] * 2,
        [True, False],
        [True, False],
        [False] * 2,
    ]
    assert randomise(WavePositions(4))(at(places)).isnan().all(-1).sum() == 1


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"reach": -1.0}, {"scale": float("nan")}])
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match="scale and reach must be above 0, got scale="):
        Motion(4, **wrong)


@pytest.mark.parametrize("make", [random_rstg, random_dyreg])
@torch.no_grad()
def test_nodes_of_a_graph_are_told_their_steps(make):
    """Motion is a module of one's own as well; one that tells nothing changes nothing."""
    options = {"regions": ContentRegions(5, 3), "rounds": 1, "readout": "vector"}
    plain, moving = make(**options), make(**options, motion=Motion(8, scale=5.0))
    assert moving.motion.scale == 5
    assert make(**options, motion=True).motion.scale == 10
    assert plain.motion is None
    moving.load_state_dict(plain.state_dict(), strict=False)
    clip = draw(1, 3, 5, 6, 6)
    assert not torch.allclose(moving(clip), plain(clip))
    for value in moving.motion.parameters():
        value.zero_()
    torch.testing.assert_close(moving(clip), plain(clip), **EXACT)
