import itertools
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from graphs import draw, exact, randomise, weights_of
from interlace.graph.edges import Edges, Messages
from interlace.graph.space_stage import (
    AdditiveGather,
    DotGather,
    MeanGather,
    Send,
    SpaceStage,
    SumGather,
    Update,
)
from tolerances import EXACT

WIDTH = 8


class Layer(NamedTuple):
    weight: torch.Tensor
    bias: torch.Tensor


def random_adjacency(count, seed, density=0.5):
    return torch.rand(count, count, generator=torch.Generator().manual_seed(seed)) < density


def gather_of(kind, heads=1):
    if kind in ("sum", "mean"):
        return SumGather() if kind == "sum" else MeanGather()
    return {"dot": DotGather, "additive": AdditiveGather}[kind](WIDTH, heads=heads)


def random_stage(adjacency, *, kind="dot", heads=1, layers=2, positions=0, groups=None, seed=0):
    stage = SpaceStage(
        Send(WIDTH, layers=layers, positions=positions),
        gather_of(kind, heads),
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
NAMES = ["weights", "sent", "received", "weight", "bias"]


def collecting(joined, layers):
    """Inputs of a gathering, how the package does it, and the formula."""
    edges = Edges(JOINED[joined]).double()
    shapes = [(1, 3, 2, 4, 4), (1, 3, 4, 3), (1, 3, 4, 3), *[(3, 3), (3,)] * layers]
    inputs = [draw(*s, seed=k).requires_grad_() for k, s in enumerate(shapes)]

    def fast(weights, sent, received, *parameters):
        linears = [Layer(w, b) for w, b in pairs(parameters)]
        return Messages(sent, received, linears, edges).collect(weights)

    def plain(weights, sent, received, *parameters):
        gathered = [[0 * sent[:, :, 0] for _ in range(4)] for _ in range(2)]
        for h, i, j in itertools.product(range(2), range(4), range(4)):
            if joined == "full" or (joined == "sparse" and JOINED[joined][i, j]):
                message = (sent[:, :, j] + received[:, :, i]).relu()
                for w, b in pairs(parameters):
                    message = (message @ w.T + b).relu()
                gathered[h][i] = gathered[h][i] + weights[:, :, h, i, j, None] * message
        return torch.stack([torch.stack(g, 2) for g in gathered], 2)

    return inputs, fast, plain


@pytest.mark.parametrize("chunk", [1, 2**20], ids=["frame by frame", "at once"])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("joined", JOINED)
def test_gathering_has_the_gradient_of_its_formula(joined, layers, chunk, monkeypatch):
    monkeypatch.setattr("interlace.graph.edges.CHUNK", chunk)
    inputs, fast, plain = collecting(joined, layers)
    ours, theirs = fast(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, **EXACT)
    weights = draw(*ours.shape)
    ours = torch.autograd.grad((ours * weights).sum(), inputs)
    theirs = torch.autograd.grad((theirs * weights).sum(), inputs, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    if joined != "none":
        torch.autograd.gradcheck(fast, inputs)


@pytest.mark.parametrize("needed", [["weight"], ["sent", "received"], ["weights"], ["bias"]])
def test_gathering_where_parts_need_no_gradient(needed):
    inputs, fast, plain = collecting("sparse", 1)
    for name, value in zip(NAMES, inputs, strict=True):
        value.requires_grad_(name in needed)
    wanted = [value for value in inputs if value.requires_grad]
    ours = torch.autograd.grad(fast(*inputs).sum(), wanted)
    theirs = torch.autograd.grad(plain(*inputs).sum(), wanted)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_a_send_of_ones_own_may_return_all_messages_as_a_tensor():
    class Dense(Send):
        def forward(self, nodes, edges, positions=None):
            return super().forward(nodes, edges, positions).dense()

    stage, nodes = random_stage(random_adjacency(5, 0), heads=2), draw(1, 3, 5, WIDTH)
    expected = stage(nodes)[0]
    stage.send.__class__ = Dense
    torch.testing.assert_close(stage(nodes)[0], expected, **EXACT)


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
