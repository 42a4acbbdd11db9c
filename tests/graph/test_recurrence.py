import pytest
import torch

import naive
from graphs import draw, exact, random_rstg, weights_of
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.time_stage import TimeStage
from tolerances import EXACT


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_as_in_loops(schedule, rounds):
    """All frames through one stage after another = all stages for one frame after another."""
    said = None if schedule == "time-only" else rounds
    graph = random_rstg(schedule=schedule, rounds=said, scales=(2, 1)).recurrence
    nodes = draw(2, 4, 5, 8)
    out, _, attention = graph(nodes)
    heard = [[j for j in range(5) if joined[j]] for joined in naive.adjacency((2, 1))]
    for b in range(2):
        expected, alpha = naive.recurrence(
            weights_of(graph), nodes[b].tolist(), naive.SCHEDULES[schedule](rounds), heard=heard
        )
        torch.testing.assert_close(out[b], exact(expected), **EXACT)
        if attention:
            torch.testing.assert_close(torch.stack(attention, 2)[b], exact(alpha), **EXACT)
    assert len(attention) == (0 if schedule == "time-only" else rounds)


def test_stages_are_shared_by_the_rounds_and_the_last_one_is_not():
    names = [name for name, _ in random_rstg().recurrence.stages.named_children()]
    assert names == ["time", "space", "final"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_past_is_not_changed_by_the_future(schedule):
    graph, nodes = random_rstg(schedule=schedule, scales=(2,)).recurrence, draw(1, 5, 4, 8)
    other = nodes.clone()
    other[:, 3:] += 1
    assert torch.equal(graph(nodes)[0][:, :3], graph(other)[0][:, :3])
    assert not torch.allclose(graph(nodes)[0][:, 3:], graph(other)[0][:, 3:])


def test_state_of_another_schedule_is_refused():
    def graph(schedule, rounds):
        rounds = None if schedule == "time-only" else rounds
        return random_rstg(schedule=schedule, rounds=rounds, scales=(1,)).recurrence

    nodes = draw(1, 2, 1, 8)
    state = {name: graph(name, 2)(nodes)[1] for name in SCHEDULES}
    for name, other in [
        ("all-temp", "1-temp"),
        ("1-temp", "space-only"),
        ("time-only", "homogeneous"),
        ("homogeneous", "all-temp"),
        ("space-only", "1-temp"),
    ]:
        with pytest.raises(ValueError, match=r"state must be .* this same graph returned"):
            graph(name, 2)(nodes, state[other])
    with pytest.raises(ValueError, match="time > space > final; got"):
        graph("all-temp", 1)(nodes, graph("1-temp", 2)(nodes)[1])  # as long, other stages


def test_a_schedule_runs_the_stages_there_are():
    with pytest.raises(ValueError, match=r"the schedule runs \['a', 'b'\], got \['a'\]"):
        Recurrence({"a": TimeStage(2)}, ["a", "b"])
