"""Steps of nodes, alone and beside each other, and codes of where they are."""

import math
import re

import pytest
import torch

import naive_content as naive
from blobs import blobs, reads_channels
from graphs import draw, exact, random_dyreg, random_rstg, randomise, weights_of
from interlace.graph.kernels import RegionKernel
from interlace.graph.motion import Motion, RelativeMotion
from interlace.graph.position import WavePositions, waves
from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.regions import Regions
from tolerances import EXACT

EMPTY = RegionKernel(torch.zeros(0), torch.zeros(0))  # neither reads a kernel


UNITS = {"scale": 4.0, "reach": 0.1, "scales": (0.3, 1.5), "decay": 0.4}  # of relative motion


def at(places, mass=None):
    """Regions at places (B, T, N, 2)."""
    return Regions(torch.cat((places, torch.full_like(places, 0.1)), -1), EMPTY, EMPTY, mass)


def walk(*shape, seed=0):
    return draw(*shape, 2, seed=seed).sigmoid(), draw(*shape, seed=seed + 1).sigmoid()


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 3.0, "reach": 0.1, "waves": (0.3, 2.0, 5.0)},
        {"waves": ()},
    ],
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
    last = torch.cat((places, mass[..., None]), -1)[:, -1]
    torch.testing.assert_close(state, last, **EXACT)


def related(module, places, mass):
    """Of one clip, [i][t], in loops."""
    paths, masses = places.transpose(0, 1).tolist(), mass.t().tolist()
    said = {name: getattr(module, name) for name in ("scale", "reach", "scales", "decay")}
    return exact(naive.relative_motion(paths, masses, **said))


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("options", [{}, UNITS], ids=["defaults", "others"])
def test_relative_motion_as_in_loops(options, weighed):
    """Symmetric and in [0, 1]; nothing at the first frame."""
    module, (places, mass) = RelativeMotion(**options), walk(2, 6, 4)
    told, _ = module(at(places, mass if weighed else None))
    assert told.shape == (2, 6, 4, 4, module.out_channels)
    for b in range(2):
        expected = related(module, places[b], mass[b] if weighed else torch.ones_like(mass[b]))
        torch.testing.assert_close(told[b], expected, **EXACT)
    assert (told[:, 0] == 0).all()
    assert ((told >= 0) & (told <= 1)).all()
    assert torch.equal(told, told.transpose(2, 3))


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
    regions, _ = reads_channels(ContentRegions(1, 1, softness=2.0))(blobs(frames, size=(20, 20)))
    assert regions.mass.min() > 0.99
    found = told(regions.boxes[0, :, 0, :2].tolist(), scale=7.0)
    expected = exact([(0, 0), *[(0.7, 0.0)] * 3])
    torch.testing.assert_close(found, expected, rtol=0, atol=7 * 5e-4)


def test_who_moves_along_is_told_from_who_does_not():
    """However far apart: 1 for the same steps, by hand for the others."""
    start, steps = (
        exact([[0.1, 0.2], [0.6, 0.8], [0.5, 0.1]]),
        exact([[0.02, 0], [0.02, 0], [0, 0]]),
    )
    places = start + torch.arange(4)[:, None, None] * steps
    told, _ = RelativeMotion(scales=(0.1, 0.2))(at(places[None]))
    ones = torch.ones(3).double()
    for i in range(3):
        torch.testing.assert_close(told[0, 1:, i, i, :2], ones[:, None].expand(3, 2), **EXACT)
    torch.testing.assert_close(told[0, 1:, 0, 1, :2], ones[:, None].expand(3, 2), **EXACT)
    apart = exact([math.exp(-2), math.exp(-0.5)])  # a fiftieth of the frame is 0.2 scaled
    torch.testing.assert_close(told[0, 1:, 0, 2, :2], apart.expand(3, 2), **EXACT)
    seen = exact([0.1, 0.19, 0.271])  # of frames in pairs so far, each 0.9 of the next
    torch.testing.assert_close(told[0, 1:, 0, 2, 2], seen, **EXACT)


def test_what_was_seen_long_ago_counts_less():
    """Two move alike for two frames, and then one of them stands."""
    step = exact([[0, 0], [1, 1], [1, 1], [1, 0], [1, 0]]).cumsum(0)[..., None] * exact([0.1, 0])
    early, late = (
        RelativeMotion(scales=(0.1,), decay=decay)(at(0.3 + step[None]))[0][0, :, 0, 1, 0]
        for decay in (0.5, 0.9)
    )
    none = math.exp(-50)
    for told, d in ((early, 0.5), (late, 0.9)):
        weights = [d**3 + d**2 + (d + 1) * none, d**3 + d**2 + d + 1]
        torch.testing.assert_close(told[4], exact(weights[0] / weights[1]), **EXACT)
    assert early[4] < 0.21 < late[4]


def test_who_is_hardly_seen_is_alike_to_nobody():
    """In proportion, below a tenth of a frame in which both are there; a blink is forgotten."""
    places = exact([0.5, 0.5]).expand(1, 3, 2, 2)
    mass = exact([[1, 1], [1, 0.2], [1, 0.1]])[None]
    told, _ = RelativeMotion(scales=(0.1,))(at(places, mass))
    seen = exact([0.2, 0.9 * 0.2 + 0.02])
    torch.testing.assert_close(told[0, 1:, 0, 1, 1], 0.1 * seen, **EXACT)
    torch.testing.assert_close(told[0, 1:, 0, 1, 0], torch.ones(2).double(), **EXACT)
    told, _ = RelativeMotion(scales=(0.1,))(at(places, 0.25 * mass))
    alike = exact([0.2 * 0.25**4, (0.9 * 0.2 + 0.02) * 0.25**4]) / 0.1
    torch.testing.assert_close(told[0, 1:, 0, 1, 0], alike, **EXACT)
    told, _ = RelativeMotion()(at(places, torch.zeros(1, 3, 2).double()))
    assert (told == 0).all()


ALL = pytest.mark.parametrize(
    "make",
    [
        lambda: Motion(4),
        RelativeMotion,
        lambda: RelativeMotion(**UNITS),
    ],
    ids=["motion", "relative", "other units"],
)


@ALL
@pytest.mark.parametrize("chunks", [[1] * 6, [2, 1, 3]])
@torch.no_grad()
def test_a_stream_is_the_clip(make, chunks):
    module, (places, mass) = randomise(make()), walk(2, 6, 3)
    whole, last = module(at(places, mass))
    state, parts = None, []
    for here in torch.arange(6).split(chunks):
        part, state = module(at(places[:, here], mass[:, here]), state)
        assert state.shape == last.shape
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **EXACT)
    torch.testing.assert_close(state, last, **EXACT)
    shapes = [re.escape(str((clips, *last.shape[1:]))) for clips in (1, 2)]
    with pytest.raises(ValueError, match="state must be {}, got {}".format(*shapes)):
        module(at(places[:1]), state)
    with pytest.raises(ValueError, match="state must be"):
        module(at(places[:, :, :2]), state)


@ALL
@torch.no_grad()
def test_renumbering_the_nodes_and_clips_renumbers_the_result(make):
    module, (places, mass), order = randomise(make()), walk(2, 4, 3), [2, 0, 1]
    told, _ = module(at(places, mass))
    other, _ = module(at(places[[1, 0]][:, :, order], mass[[1, 0]][..., order]))
    told = told[[1, 0]][:, :, order]
    torch.testing.assert_close(other, told if told.dim() == 4 else told[:, :, :, order], **EXACT)


@ALL
@torch.no_grad()
def test_the_compiler_finds_one_unbroken_graph(make):
    torch._dynamo.reset()
    module = randomise(make())
    compiled, state = torch.compile(module, fullgraph=True, backend="eager"), None
    for frames in (3, 1):
        regions = at(*walk(2, frames, 3, seed=frames))
        (ours, kept), (theirs, state) = compiled(regions, state), module(regions, state)
        torch.testing.assert_close(ours, theirs, **EXACT)
        torch.testing.assert_close(kept, state, **EXACT)


@pytest.mark.parametrize(
    "module",
    [
        Motion(4),
        WavePositions(4, identities=3),
        RelativeMotion(scales=(0.8, 2.0)),
    ],
    ids=["motion", "where", "relative"],
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
    assert all(bool(p.grad.any()) for p in (*module.parameters(), places, mass))
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
        still = places[:, :1].expand(1, 2, 1, 2)
        told, sums = RelativeMotion(scales=(0.01,))(at(torch.cat((places, still), 2)))
    assert state.dtype == told.dtype == sums.dtype == torch.float32
    torch.testing.assert_close(
        codes[0, 1, 0].float(), torch.tensor([0.01, 0]), rtol=0.01, atol=1e-6
    )
    assert float(told[0, 1, 0, 1, 0]) == pytest.approx(math.exp(-0.5), rel=0.001)


@torch.no_grad()
def test_a_nan_is_not_hidden():
    """Nor does it spread to other nodes; of relations, it stays in the sums."""
    places, mass = walk(1, 5, 3)
    places[0, 1, 0, 0] = float("nan")
    codes, _ = randomise(Motion(4))(at(places, mass))
    broken = [t in (1, 2) for t in range(5)]
    assert codes.isnan().all(-1)[0].tolist() == [[b, False, False] for b in broken]
    assert codes.isnan().any(-1).sum() == 2
    told, state = RelativeMotion()(at(places, mass))
    alike = told[0, ..., :-1].isnan()
    assert alike[1:, 0].all()
    assert alike[1:, :, 0].all()
    assert not alike[:, 1:, 1:].any()
    assert not alike[0].any()
    assert state.isnan().any()
    assert randomise(WavePositions(4))(at(places)).isnan().all(-1).sum() == 1


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"reach": -1.0}, {"scale": float("nan")}])
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match="scale and reach must be above 0, got scale="):
        Motion(4, **wrong)
    with pytest.raises(ValueError, match="scale and reach must be above 0, got scale="):
        RelativeMotion(**wrong)


def test_other_wrong_options():
    for decay in (0, 1, -0.5, float("nan")):
        with pytest.raises(ValueError, match=f"decay must be between 0 and 1, got {decay}"):
            RelativeMotion(decay=decay)


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
