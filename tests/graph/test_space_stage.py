import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from graphs import draw, exact, gather_of, randomise, weights_of
from interlace.graph.edges import Edges
from interlace.graph.space_stage import (
    AdditiveGather,
    DotGather,
    Send,
    SpaceStage,
    Update,
)
from tolerances import EXACT

WIDTH = 8


def random_adjacency(count, seed, density=0.5):
    return torch.rand(count, count, generator=torch.Generator().manual_seed(seed)) < density


def random_stage(adjacency, *, kind="dot", heads=1, layers=2, positions=0, groups=None, seed=0):
    stage = SpaceStage(
        Send(WIDTH, layers=layers, positions=positions),
        gather_of(kind, WIDTH, heads),
        Update(WIDTH, layers=layers, groups=groups),
        norm=torch.nn.LayerNorm(WIDTH),
        adjacency=adjacency,
    )
    return randomise(stage, seed)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    count=st.integers(1, 7),
    full=st.booleans(),
    kind=st.sampled_from([("dot", 1), ("dot", 2), ("additive", 1), ("additive", 4)])
    | st.sampled_from([("sum", 1), ("mean", 1)]),
    layers=st.integers(1, 3),
    positions=st.sampled_from([0, 3]),
    grouped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_stage_as_in_loops(count, full, kind, layers, positions, grouped, seed):
    """On random directed graphs, some with nodes that hear nobody, some with self edges."""
    kind, heads = kind
    adjacency = None if full else random_adjacency(count, seed)
    groups = [count // 2, count - count // 2] if grouped else None
    stage = random_stage(
        adjacency,
        kind=kind,
        heads=heads,
        layers=layers,
        positions=positions,
        groups=groups,
        seed=seed,
    )
    nodes, codes = draw(1, 2, count, WIDTH, seed=seed), draw(count, positions, seed=seed + 1)
    out, state, attention = stage(nodes, None, codes if positions else None)
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
        )
        torch.testing.assert_close(out[0, t], exact(expected), **EXACT)
        torch.testing.assert_close(attention[0, t], exact(alpha), **EXACT)


@pytest.mark.parametrize("kind", ["dot", "additive", "sum", "mean"])
def test_renumbering_the_nodes_renumbers_the_result(kind):
    adjacency, nodes, codes = random_adjacency(6, 3), draw(2, 3, 6, WIDTH), draw(6, 5)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    stage = random_stage(adjacency, kind=kind, positions=5)
    same = random_stage(adjacency[order][:, order], kind=kind, positions=5)
    out, _, attention = stage(nodes, None, codes)
    renumbered, _, weights = same(nodes[:, :, order], None, codes[order])
    torch.testing.assert_close(renumbered, out[:, :, order], **EXACT)
    torch.testing.assert_close(weights, attention[..., order, :][..., order], **EXACT)


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
