import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from graphs import draw, exact, gather_of, random_rstg, weights_of
from interlace import RSTG
from interlace.graph.motion import Motion, RelativeMotion
from interlace.graph.recurrence import SCHEDULES
from interlace.graph.regions.content import ContentRegions
from interlace.graph.space_stage import DotGather, Send, Update
from tolerances import EXACT

options = st.fixed_dictionaries(
    {
        "scales": st.sampled_from([(3, 2, 1), (2, 1), (1,), (3, 1), (2, 2)]),
        "schedule": st.sampled_from(list(SCHEDULES)),
        "readout": st.sampled_from(["map", "vector", "mean-vector"]),
    }
)
of_messages = st.fixed_dictionaries(
    {
        "rounds": st.integers(1, 3),
        "positional": st.booleans(),
        "residual": st.booleans(),
        "adjacency": st.sampled_from(["sparse", "full"]),
    }
)
layers = st.tuples(st.integers(1, 3), st.integers(1, 2))
gathers = st.sampled_from(
    [("dot", 1), ("dot", 2), ("additive", 1), ("additive", 4), ("sum", 1), ("mean", 1)]
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    *(options, of_messages, layers, st.booleans(), gathers),
    *(st.sampled_from([8, 3]), st.integers(2, 7), st.integers(1, 5)),
)
def test_every_option_as_in_loops(
    options, of_messages, layers, per_scale, gathering, channels, height, frames
):
    gather, heads = gathering
    parts = {}
    if options["schedule"] == "time-only":
        of_messages = {}
    else:
        groups = [s * s for s in options["scales"]] if per_scale else None
        parts["send"] = Send(8, layers=layers[0], positions=36 * of_messages["positional"])
        parts["gather"] = gather_of(gather, 8, heads)
        parts["update"] = Update(8, layers=layers[1], groups=groups)
    block = random_rstg(channels, **options, **of_messages, **parts)
    clip = draw(1, frames, channels, height, height + 1)
    out, trace = block(clip, return_trace=True)

    said = {"rounds": 1, **options, **of_messages, "update_per_scale": per_scale}
    said["adjacency_kind"] = said.pop("adjacency", "sparse")
    said.pop("residual", None)  # its weights have other names
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
        *[{"gather": gather_of(name, 8, 1)} for name in ("additive", "sum", "mean")],
        {"gather": DotGather(8, heads=2)},
        {"positional": True},
        {"send": Send(8, layers=1)},
        {"update": Update(8, layers=1)},
        {"update": Update(8, groups=(9, 4, 1))},
        {"residual": True},
        {"adjacency": "full"},
        {"sharp": True},
        {"motion": True},
        {"sharp": True, "motion": Motion(8, scale=3.0)},
        {"relative_motion": True},
        {"sharp": True, "relative_motion": RelativeMotion(scale=30.0)},
        {"time": "add"},
        {"regions": ContentRegions(5, 14)},
        {"gather": DotGather(8, scaled=True)},
        {"readout": "vector"},
        {"readout": "mean-vector"},
    ],
    ids=lambda change: "-".join(str(v).split("(")[0] for pair in change.items() for v in pair),
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
        ({"adjacency": "dense"}, "adjacency must be one of sparse, full, got 'dense'"),
        ({"readout": "vec"}, "readout must be one of map, vector, mean-vector, got 'vec'"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"time": "sum"}, "time must be one of replace, add, got 'sum'"),
        ({"first_weights": "xavier"}, "first_weights must be one of torch, he, got 'xavier'"),
        ({"regions": ContentRegions(4), "sharp": True}, "sharp=True is for grids: give regions="),
        ({"regions": ContentRegions(4), "scales": (2, 1)}, "scales are those of a grid"),
        ({"schedule": "space-only", "time": "add"}, "no time stage: leave out time"),
        ({"regions": ContentRegions(4), "adjacency": "sparse"}, "other regions move, leave it out"),
        (
            {"regions": ContentRegions(4), "schedule": "homogeneous"},
            "is for grids: leave out regio",
        ),
        ({"scales": ()}, "scales must be positive"),
        (
            {"relative_motion": True, "schedule": "homogeneous"},
            "is for grids: leave out regions and relative_motion",
        ),
        ({"positional": True, "send": Send(8)}, "positions that `Send` does not take"),
        (
            {"relative_motion": True, "send": Send(8)},
            r"relations that `Send` does not take: Send\(..., relations=5\)",
        ),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        RSTG(4, width=8, **wrong)(torch.zeros(1, 1, 4, 6, 6))


@pytest.mark.parametrize(
    "option",
    [
        {"rounds": 3},
        {"positional": True},
        {"relative_motion": True},
        {"residual": True},
        {"adjacency": "full"},
        {"send": Send(8)},
        {"gather": DotGather(8)},
        {"update": Update(8)},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_nobody_hears_without_messages_is_refused(option):
    message = f"schedule='time-only' has no messages: leave out {next(iter(option))}$"
    with pytest.raises(ValueError, match=message):
        RSTG(4, width=8, schedule="time-only", **option)
