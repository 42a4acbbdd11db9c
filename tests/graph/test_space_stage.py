import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from graphs import draw, exact, gather_of, randomise, weights_of
from interlace.graph.edges import Edges
from interlace.graph.recurrence import HomogeneousStage, with_past
from interlace.graph.space_stage import (
    AdditiveGather,
    DotGather,
    Send,
    SpaceStage,
    Update,
)
from tolerances import BFLOAT16, EXACT

WIDTH = 8


def random_adjacency(count, seed, density=0.5):
    return torch.rand(count, count, generator=torch.Generator().manual_seed(seed)) < density


def random_stage(
    adjacency,
    *,
    kind="dot",
    heads=1,
    layers=2,
    positions=0,
    relations=0,
    weighed_by=0,
    groups=None,
    scaled=False,
    seed=0,
):
    stage = SpaceStage(
        Send(WIDTH, layers=layers, positions=positions, relations=relations),
        gather_of(kind, WIDTH, heads, scaled=scaled, relations=weighed_by),
        Update(WIDTH, layers=layers, groups=groups),
        norm=torch.nn.LayerNorm(WIDTH),
        adjacency=adjacency,
    )
    return randomise(stage, seed)


def masses(count, frames=2, *, seed=0):
    """(1, T, N) in [0, 1], some of them 0."""
    return (1.5 * draw(1, frames, count, seed=seed).sigmoid() - 0.4).clamp(0, 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    count=st.integers(1, 7),
    full=st.booleans(),
    kind=st.sampled_from([("dot", 1), ("dot", 2), ("additive", 1), ("additive", 4)])
    | st.sampled_from([("sum", 1), ("mean", 1)]),
    layers=st.integers(1, 3),
    positions=st.sampled_from([0, 3]),
    relations=st.sampled_from([0, 2]),
    biased=st.booleans(),
    grouped=st.booleans(),
    weighed=st.booleans(),
    scaled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_stage_as_in_loops(
    count, full, kind, layers, positions, relations, biased, grouped, weighed, scaled, seed
):
    """On random directed graphs, some with nodes that hear nobody, some with self edges."""
    kind, heads = kind
    scaled = scaled and kind == "dot"
    adjacency = None if full else random_adjacency(count, seed)
    groups = [count // 2, count - count // 2] if grouped else None
    stage = random_stage(
        adjacency,
        kind=kind,
        heads=heads,
        layers=layers,
        positions=positions,
        relations=relations,
        weighed_by=relations if biased else 0,
        groups=groups,
        scaled=scaled,
        seed=seed,
    )
    nodes, codes = draw(1, 2, count, WIDTH, seed=seed), draw(count, positions, seed=seed + 1)
    mass = masses(count, seed=seed) if weighed else None
    related = draw(1, 2, count, count, relations, seed=seed + 2) if relations else None
    out, state, attention = stage(nodes, None, codes if positions else None, mass, related)
    assert state is None

    heard = [[j for j in range(count) if full or adjacency[i, j]] for i in range(count)]
    for t in range(2):
        expected, alpha = naive.space_stage(
            weights_of(stage),
            nodes[0, t].tolist(),
            heard,
            kind=kind,
            heads=heads,
            groups=[int(i >= count // 2) for i in range(count)] if grouped else None,
            codes=codes.tolist(),
            masses=mass[0, t].tolist() if weighed else None,
            relations=related[0, t].tolist() if relations else None,
            scaled=scaled,
        )
        torch.testing.assert_close(out[0, t], exact(expected), **EXACT)
        torch.testing.assert_close(attention[0, t], exact(alpha), **EXACT)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_homogeneous_stage_with_masses_as_in_loops(full, seed):
    """A node hears its own past, however silent it is."""
    adjacency = torch.ones(4, 4, dtype=torch.bool) if full else random_adjacency(4, seed)
    space = random_stage(with_past(adjacency), positions=3, seed=seed)
    nodes, codes, mass = draw(1, 3, 4, WIDTH, seed=seed), draw(4, 3), masses(4, 3, seed=seed)
    out, state, _ = HomogeneousStage(space)(nodes, None, codes, mass)
    past, heard = [[0.0] * WIDTH] * 4, [[j for j in range(4) if adjacency[i, j]] for i in range(4)]
    for t in range(3):
        past, _ = naive.space_stage(
            weights_of(space),
            nodes[0, t].tolist(),
            heard,
            codes=codes.tolist(),
            past=past,
            masses=mass[0, t].tolist(),
        )
        torch.testing.assert_close(out[0, t], exact(past), **EXACT)
    assert torch.equal(state, out[:, -1])
    assert (out[mass == 0] == 0).all()


@pytest.mark.parametrize("kind", ["dot", "additive", "sum", "mean"])
def test_a_silent_node_is_not_heard(kind):
    """What it says changes nothing in the others, or next to nothing in a softmax."""
    stage, nodes = random_stage(None, kind=kind), 0.3 * draw(1, 2, 5, WIDTH)
    mass = masses(5).clamp(min=0.3)
    mass[..., 2] = 0
    other, louder = nodes.clone(), mass.clone()
    other[:, :, 2] = draw(1, 2, WIDTH, seed=4)
    louder[..., 2] = 1
    out, heard = (stage(value, None, None, mass)[0] for value in (nodes, other))
    assert (out[:, :, 2] == 0).all()
    told, changed = (stage(value, None, None, louder)[0] for value in (nodes, other))
    others = [0, 1, 3, 4]
    least = (heard - out)[:, :, others].abs().max()
    assert (changed - told)[:, :, others].abs().max() > 0.05
    assert least < (1e-12 if kind in ("sum", "mean") else 5e-3)


@pytest.mark.parametrize("kind", ["dot", "additive", "sum", "mean"])
@pytest.mark.parametrize("adjacency", [None, random_adjacency(5, 0)], ids=["full", "sparse"])
def test_masses_of_one_change_nothing_and_of_zero_silence_all(kind, adjacency):
    """In values and with finite gradients."""
    stage, nodes = random_stage(adjacency, kind=kind), draw(1, 2, 5, WIDTH)
    plain, with_ones = stage(nodes), stage(nodes, None, None, torch.ones(1, 2, 5).double())
    torch.testing.assert_close(with_ones[0], plain[0], **EXACT)
    torch.testing.assert_close(with_ones[2], plain[2], **EXACT)
    mass = torch.zeros(1, 2, 5).double().requires_grad_()
    out, _, attention = stage(nodes, None, None, mass)
    assert (out == 0).all()
    assert attention.isfinite().all()
    (slope,) = torch.autograd.grad(out.sum(), mass)
    assert slope.isfinite().all()
    assert slope.any()


@pytest.mark.parametrize("kind", ["dot", "additive", "sum", "mean"])
def test_a_stage_has_the_gradient_of_its_masses(kind):
    stage, nodes = random_stage(random_adjacency(4, 2), kind=kind), draw(1, 2, 4, WIDTH)
    mass = (0.2 + 0.6 * draw(1, 2, 4).sigmoid()).requires_grad_()
    assert torch.autograd.gradcheck(lambda mass: stage(nodes, None, None, mass)[::2], mass)


@pytest.mark.parametrize("kind", ["dot", "additive", "sum", "mean"])
def test_renumbering_the_nodes_renumbers_the_result(kind):
    adjacency, nodes, codes = random_adjacency(6, 3), draw(2, 3, 6, WIDTH), draw(6, 5)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    options = {"kind": kind, "positions": 5, "relations": 2, "weighed_by": 2}
    stage = random_stage(adjacency, **options)
    same = random_stage(adjacency[order][:, order], **options)
    mass, related = masses(6, 3), draw(2, 3, 6, 6, 2)
    out, _, attention = stage(nodes, None, codes, mass, related)
    theirs = codes[order], mass[..., order], related[:, :, order][:, :, :, order]
    renumbered, _, weights = same(nodes[:, :, order], None, *theirs)
    torch.testing.assert_close(renumbered, out[:, :, order], **EXACT)
    torch.testing.assert_close(weights, attention[..., order, :][..., order], **EXACT)


@pytest.mark.parametrize("weighed_by", [0, 2])
@pytest.mark.parametrize("adjacency", [None, random_adjacency(4, 0)], ids=["full", "sparse"])
def test_relations_of_edges_alone_have_the_gradient_of_their_formula(adjacency, weighed_by):
    """Also where messages are computed twice; what is not an edge has none."""
    stage = random_stage(adjacency, relations=2, weighed_by=weighed_by)
    nodes = draw(1, 2, 4, WIDTH)
    related = draw(1, 2, 4, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: stage(nodes, None, None, None, r)[0], related)
    loss = stage(nodes, None, None, None, related)[0].square().sum()
    slopes = torch.autograd.grad(loss, [related, stage.send.relation.weight])
    joined = torch.ones(4, 4, dtype=torch.bool) if adjacency is None else adjacency
    assert (slopes[0].any(-1)[0, 0] == joined).all()
    assert slopes[1].any(0).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interlace.graph.space_stage.LARGE", 0)
        loss = stage(nodes, None, None, None, related)[0].square().sum()
        again = torch.autograd.grad(loss, [related, stage.send.relation.weight])
    assert all(torch.equal(a, b) for a, b in zip(again, slopes, strict=True))


@torch.no_grad()
def test_relations_are_of_receiver_then_sender():
    """Only what 3 tells 1 is changed by that of this pair."""
    stage, nodes, related = (
        random_stage(None, relations=2),
        draw(1, 1, 4, WIDTH),
        draw(1, 1, 4, 4, 2),
    )
    before = stage.send(nodes, stage.edges, None, related)
    related[0, 0, 1, 3] += 1
    changed = (stage.send(nodes, stage.edges, None, related) != before).any(-1)
    assert changed.view(4, 4).nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("kind", ["dot", "additive"])
@torch.no_grad()
def test_relations_bias_attention(kind):
    """Who is related by a large number is heard alone, whatever the nodes are."""
    stage, nodes = random_stage(None, kind=kind, relations=1, weighed_by=1), draw(1, 1, 4, WIDTH)
    for name, value in stage.gather.relation.named_parameters():
        value.fill_(20 if "weight" in name else 0)
    related = torch.eye(4).roll(1, 1).double()[None, None, ..., None]  # 0 hears 1, 3 hears 0
    _, _, attention = stage(nodes, None, None, None, related)
    torch.testing.assert_close(attention[0, 0, 0], related[0, 0, ..., 0], **EXACT)


@torch.no_grad()
def test_relations_under_autocast():
    """Float32 relations of messages and attention in bfloat16."""
    stage = random_stage(random_adjacency(5, 0), relations=2, weighed_by=2).float()
    related, nodes = draw(1, 2, 5, 5, 2).float(), draw(1, 2, 5, WIDTH).float()
    plain = stage.hear(nodes, None, None, related)
    with torch.autocast("cpu", torch.bfloat16):
        half = stage.hear(nodes, None, None, related)
    for ours, theirs in zip(half, plain, strict=True):
        assert (ours - theirs).abs().max() < BFLOAT16 * theirs.abs().max()


def test_attention_is_a_distribution_over_neighbours():
    adjacency = random_adjacency(6, 1)
    adjacency[2] = False  # hears nobody
    _, _, attention = random_stage(adjacency, heads=2)(draw(1, 2, 6, WIDTH))
    assert (attention[..., ~adjacency] == 0).all()
    heard = adjacency.any(1).double().expand(1, 2, 2, 6)
    torch.testing.assert_close(attention.sum(-1), heard, **EXACT)


def test_full_is_the_sparse_graph_of_all_pairs():
    nodes = draw(2, 3, 5, WIDTH)
    full, sparse = random_stage(None), random_stage(torch.ones(5, 5, dtype=torch.bool))
    for a, b in zip(full(nodes), sparse(nodes), strict=True):
        assert a is b is None or torch.allclose(a, b, **EXACT)


def pairs(parameters):
    return list(zip(parameters[::2], parameters[1::2], strict=True))


JOINED = {
    "sparse": random_adjacency(4, 0),
    "full": None,
    "none": torch.zeros(4, 4, dtype=torch.bool),
}


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("joined", JOINED)
def test_messages_have_the_gradient_of_their_formula(joined, layers):
    edges = Edges(JOINED[joined]).double()
    shapes = [(1, 3, 2, 4, 4), (1, 3, 4, 3), (1, 3, 4, 3), *[(3, 3), (3,)] * layers]
    inputs = [draw(*s, seed=k).requires_grad_() for k, s in enumerate(shapes)]

    def ours(weights, sent, received, *parameters):
        messages = edges.add(sent, received).relu()
        for w, b in pairs(parameters):
            messages = torch.nn.functional.linear(messages, w, b).relu()
        return edges.collect(weights, messages)

    def theirs(weights, sent, received, *parameters):
        gathered = [[0 * sent[:, :, 0] for _ in range(4)] for _ in range(2)]
        for h, i, j in itertools.product(range(2), range(4), range(4)):
            if joined == "full" or (joined == "sparse" and JOINED[joined][i, j]):
                message = (sent[:, :, j] + received[:, :, i]).relu()
                for w, b in pairs(parameters):
                    message = (message @ w.T + b).relu()
                gathered[h][i] = gathered[h][i] + weights[:, :, h, i, j, None] * message
        return torch.stack([torch.stack(g, 2) for g in gathered], 2)

    results = []
    for run in (ours, theirs):
        out = run(*inputs)
        loss = (out * draw(*out.shape)).sum()
        results.append([out, *torch.autograd.grad(loss, inputs, materialize_grads=True)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("adjacency", [None, random_adjacency(5, 0)], ids=["full", "sparse"])
def test_many_messages_are_not_kept_and_computed_again(adjacency, monkeypatch):
    """The same results and gradients, with nothing kept that has a row for each edge."""
    stage, nodes = random_stage(adjacency, positions=3), draw(1, 3, 5, WIDTH).requires_grad_()
    codes, results, rows = draw(5, 3), [], []
    count = stage.edges.count(5)
    for large in (2**20, 0):
        monkeypatch.setattr("interlace.graph.space_stage.LARGE", large)
        kept = []

        def keep(value, kept=kept):
            kept.append(value.shape)
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            out, _, attention = stage(nodes, None, codes)
        rows.append(sum(math.prod(shape) == 3 * count * WIDTH for shape in kept))
        grads = torch.autograd.grad(out.square().sum(), [nodes, *stage.parameters()])
        results.append([out, attention, *grads])
    assert rows[0] >= 2
    assert rows[1] == 0
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", [DotGather, AdditiveGather])
@pytest.mark.parametrize("heads", [0, 3, -2])
def test_heads_must_divide_the_width(kind, heads):
    with pytest.raises(ValueError, match=f"heads must divide .* got {heads} for 8"):
        kind(8, heads=heads)


def test_what_a_stage_refuses():
    with pytest.raises(ValueError, match="at least one layer"):
        Send(4, layers=0)
    with pytest.raises(ValueError, match="at least one layer"):
        Update(4, layers=0)
    with pytest.raises(ValueError, match=r"adjacency must be \(N, N\)"):
        Edges(torch.ones(2, 3))
    with pytest.raises(ValueError, match="edges for 5 nodes, got 4"):
        random_stage(random_adjacency(5, 0))(draw(1, 1, 4, WIDTH))
    with pytest.raises(ValueError, match="sends positions, but the graph gave it none"):
        random_stage(None, positions=3)(draw(1, 1, 4, WIDTH))
    with pytest.raises(ValueError, match="sends relations, but the graph gave it none"):
        random_stage(None, relations=3)(draw(1, 1, 4, WIDTH))
    with pytest.raises(ValueError, match="weighs relations, but the graph gave it none"):
        random_stage(None, weighed_by=3)(draw(1, 1, 4, WIDTH))
    with pytest.raises(ValueError, match="edges for 5 nodes, got 4"):
        random_stage(random_adjacency(5, 0)).edges.of_pairs(draw(4, 4, 2))
    with pytest.raises(ValueError, match="homogeneous stage has no relations"):
        HomogeneousStage(random_stage(with_past(random_adjacency(2, 0))))(
            draw(1, 1, 2, WIDTH), relations=draw(1, 1, 2, 2, 3)
        )
