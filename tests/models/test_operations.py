"""Operations: each kind counted by hand, and the table of the paper."""

import pytest
import torch
from torch import nn

from interlace.graph.dyreg import DyReg
from interlace.graph.rstg import RSTG
from interlace.graph.time_stage import TimeStage
from interlace.models.baselines import NonLocal
from interlace.models.operations import count_operations
from interlace.models.registry import create_model


def products(model, *shape):
    return count_operations(model, shape).products


def test_a_convolution_and_its_norm():
    model = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.ReLU())
    counted = count_operations(model, (2, 3, 10, 12))
    assert counted.products == 2 * (5 * 6) * 8 * (3 * 5 * 5)
    assert counted.norms == 2 * (2 * 8 * 5 * 6)
    assert counted.total == counted.products + counted.norms


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_a_recurrence(cell, gates):
    batch, frames, nodes, width = 2, 5, 3, 8
    each = gates * (width * width + width * width)
    stage = TimeStage(width, cell=cell)
    assert products(stage, batch, frames, nodes, width) == batch * frames * nodes * each


def test_the_library_s_lstm():
    lstm = nn.LSTM(6, 8, batch_first=True)
    assert products(lstm, 2, 5, 6) == 2 * 5 * 4 * (8 * 6 + 8 * 8)


def test_attention():
    places, seen = 2 * 4 * 6, 2 * 2 * 3  # keys and values are pooled by 2
    projections = (2 * places + 2 * seen) * 16 * 8
    attention = 2 * places * seen * 8
    assert products(NonLocal(16, inner=8), 1, 16, 2, 4, 6) == projections + attention


@pytest.mark.parametrize("regions", ["fixed", "given"])
def test_a_graph_on_given_or_fixed_regions(regions):
    """Node by node and edge by edge; only an addition or a product with 0 and 1 costs nothing."""
    frames, nodes, cells, width, rounds = 4, 9, 6 * 7, 16, 3
    graph = DyReg(width, width=width, regions=regions)
    per_frame = nodes * cells * width  # pool
    per_frame += (rounds + 1) * nodes * 6 * width**2  # recurrences
    per_frame += rounds * nodes * 2 * width**2  # first layer of the messages: sender, receiver
    per_frame += rounds * nodes**2 * width**2  # second layer: each pair
    per_frame += rounds * (nodes * 2 * width**2 + nodes**2 * width)  # queries, keys, logits
    per_frame += rounds * nodes**2 * width  # weighted sums
    per_frame += nodes * cells * width  # remap
    total = count_operations(graph, (1, frames, width, 6, 7)).products
    rest = total - frames * per_frame
    assert rest >= 0  # where the regions are: the code of each kernel, and the norm of the map
    codes = frames * nodes * (256 * width + 16 * (6 + 7))
    norm = frames * (nodes**2 * (width + cells) + cells * width)
    assert rest <= codes + norm


def test_messages_along_edges_that_exist_only():
    frames, rounds, width, nodes, edges = 2, 3, 16, 14, 90
    full, sparse = (RSTG(width, width=width, adjacency=a) for a in ("full", "sparse"))
    shape = (1, frames, width, 8, 8)
    saved = (nodes**2 - edges) * width**2  # the second layer of the messages
    saved += nodes**2 * width  # weighted sums over all pairs, in the place of which come
    moved = edges * 2 * nodes * width  # nodes to edges by products with 0 and 1
    moved += nodes**2 * edges + nodes * edges * width  # weights to edges, and weighted sums
    assert products(full, *shape) - products(sparse, *shape) == frames * rounds * (saved - moved)


def test_nothing_is_computed_and_the_model_is_left_as_it_was():
    model = create_model("tsm_r18_dyreg", num_classes=5).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    once, twice = (products(model, 1, t, 3, 512, 512) for t in (50, 100))
    assert twice / once == pytest.approx(2, rel=1e-3)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "frames", "giga", "millions"),
    [  # DyReg, Table 12
        ("tsm_r50", 16, 65.8, 23.9),
        ("tsm_r50_fixed", 16, 66.3, 24.9),
        ("tsm_r50_dyreg", 16, 66.4, 25.7),
        ("tsm_r50_fixed_r3_4_5", 16, 67.2, 26.1),
        ("tsm_r50_dyreg_r3_4_5", 16, 67.4, 28.7),
        ("i3d_r50", 32, 153.0, 28.0),
        ("nl_i3d_r50", 32, None, 35.3),
    ],
)
def test_the_paper_s_table(name, frames, giga, millions):
    # those of I3D are published with the 400 classes of Kinetics, others with Something-Something's
    model = create_model(name, num_classes=400 if "i3d" in name else 174)
    total = count_operations(model, (1, frames, 3, 224, 224)).total / 1e9
    size = sum(p.numel() for p in model.parameters()) / 1e6
    assert size == pytest.approx(millions, rel=0.01)
    if giga is None:  # published are 168: fewer than all pairs of places of a clip take
        assert total > 200
    else:
        assert total == pytest.approx(giga, rel=0.01)
