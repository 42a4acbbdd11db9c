import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from graphs import draw, exact, random_rstg, weights_of
from interlace import RSTG
from interlace.graph.recurrence import SCHEDULES
from tolerances import EXACT

options = st.fixed_dictionaries(
    {
        "scales": st.sampled_from([(3, 2, 1), (2, 1), (1,), (3, 1), (2, 2)]),
        "rounds": st.integers(1, 3),
        "schedule": st.sampled_from(list(SCHEDULES)),
        "cell": st.sampled_from(["lstm", "gru"]),
        "positional": st.booleans(),
        "send_layers": st.integers(1, 3),
        "update_layers": st.integers(1, 2),
        "update_per_scale": st.booleans(),
        "residual": st.booleans(),
        "adjacency": st.sampled_from(["sparse", "full"]),
        "readout": st.sampled_from(["map", "vector", "mean-vector"]),
    }
)
gathers = st.sampled_from(
    [("dot", 1), ("dot", 2), ("additive", 1), ("additive", 4), ("sum", 1), ("mean", 1)]
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(options, gathers, st.sampled_from([8, 3]), st.integers(2, 7), st.integers(1, 5))
def test_every_option_as_in_loops(options, gathering, channels, height, frames):
    gather, heads = gathering
    block = random_rstg(channels, gather=gather, heads=heads, **options)
    clip = draw(1, frames, channels, height, height + 1)
    out, trace = block(clip, return_trace=True)

    said = {k: v for k, v in options.items() if not k.endswith("_layers")}
    said["adjacency_kind"] = said.pop("adjacency")
    del said["residual"]  # its weights have other names
    expected, attention = naive.rstg(
        clip[0].tolist(), weights_of(block), gather=gather, heads=heads, **said
    )
    torch.testing.assert_close(out[0], exact(expected), **EXACT)
    if options["schedule"] != "time-only":
        torch.testing.assert_close(trace.attention[0], exact(attention).float())


@pytest.mark.parametrize(
    "change",
    [
        {"scales": (3, 1)},
        {"rounds": 2},
        *[{"schedule": name} for name in SCHEDULES if name != "all-temp"],
        {"cell": "gru"},
        *[{"gather": name} for name in ("additive", "sum", "mean")],
        {"heads": 2},
        {"positional": True},
        {"send_layers": 1},
        {"update_layers": 1},
        {"update_per_scale": True},
        {"residual": True},
        {"adjacency": "full"},
        {"readout": "vector"},
        {"readout": "mean-vector"},
    ],
    ids=lambda change: "-".join(str(v) for pair in change.items() for v in pair),
)
def test_an_option_changes_the_output(change):
    """With the same weights wherever both have them."""
    plain, other = random_rstg(), random_rstg(**change)
    theirs = {k: v for k, v in plain.state_dict().items() if k in other.state_dict()}
    same = {k: v for k, v in theirs.items() if v.shape == other.state_dict()[k].shape}
    other.load_state_dict(same, strict=False)
    clip = draw(1, 3, 5, 6, 6)
    a, b = plain(clip), other(clip)
    assert a.shape != b.shape or not torch.allclose(a, b, rtol=1e-3)


def test_the_papers_values_are_the_defaults():
    block = RSTG(512)
    assert sum(p.numel() for p in block.recurrence.stages["final"].parameters()) == 4 * (
        2 * 512 * 512 + 2 * 512
    )
    assert block.regions.scales == (3, 2, 1)
    assert block.recurrence.schedule == ("time", "space") * 3 + ("final",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": "all"}, "schedule must be one of all-temp, 1-temp, .*got 'all'"),
        ({"gather": "max"}, "gather must be one of dot, additive, sum, mean, got 'max'"),
        ({"adjacency": "dense"}, "adjacency must be one of sparse, full, got 'dense'"),
        ({"readout": "vec"}, "readout must be one of map, vector, mean-vector, got 'vec'"),
        ({"cell": "rnn"}, "cell must be 'lstm' or 'gru', got 'rnn'"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"heads": 3}, "heads must divide the width of the nodes, got 3 for 8"),
        ({"heads": 2, "gather": "sum"}, "gather='sum' has no attention: heads must be 1, got 2"),
        ({"scales": ()}, "scales must be positive"),
        ({"send_layers": 0}, "at least one layer"),
        ({"update_layers": 0}, "at least one layer"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        RSTG(4, width=8, **wrong)
