"""Evaluation on logits that are written by hand, and the JSON of a result."""

import json
import math

import pytest
import torch
from torch import nn

from interlace.data.clips.dataset import Clip
from interlace.data.digits.images import load_digits
from interlace.data.digits.moving import VideoBatch
from interlace.data.digits.syncmnist import SyncMNIST
from interlace.evaluation.evaluate import check_labels, classify, evaluate
from interlace.evaluation.region_metrics import region_metrics
from interlace.graph.trace import Trace

# 7 classes, 6 videos: the row, its label, its rank of the label
LOGITS = [
    [9.0, 8, 7, 6, 5, 4, 3],  # 0: first
    [9.0, 8, 7, 6, 5, 4, 3],  # 4: fifth, just in the top 5
    [9.0, 8, 7, 6, 5, 4, 3],  # 5: sixth, just out
    [0.0, 0, 0, 9, 0, 0, 0],  # 3: first
    [1.0, 2, 3, 4, 5, 6, 7],  # 6: first
    [1.0, 2, 3, 4, 5, 6, 7],  # 0: last
]
LABELS = [0, 4, 5, 3, 6, 0]


class Spoken(nn.Module):
    """Says the logits that a video's first pixels spell; notes whether it was in training mode."""

    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, video):
        self.modes.append(self.training)
        return torch.tensor(LOGITS)[video[:, 0, 0, 0, 0].long()]


def batch_of(rows, labels):
    video = torch.tensor(rows, dtype=torch.uint8).reshape(-1, 1, 1, 1, 1)
    nothing = torch.zeros(len(rows), 0)
    return VideoBatch(video, torch.tensor(labels), nothing, nothing, nothing)


def cross_entropy(row, label):
    return math.log(sum(math.exp(v) for v in row)) - row[label]


@pytest.mark.parametrize("cuts", [[6], [1, 5], [2, 2, 2]])
def test_numbers_are_those_counted_by_hand(cuts):
    batches, start = [], 0
    for size in cuts:
        rows = list(range(start, start + size))
        batches.append(batch_of(rows, LABELS[start : start + size]))
        start += size
    result = evaluate(Spoken(), batches, 7)
    assert result.count == 6
    assert result.top1 == 3 / 6
    assert result.top5 == 4 / 6
    expected = sum(cross_entropy(row, k) for row, k in zip(LOGITS, LABELS, strict=True)) / 6
    assert result.loss == pytest.approx(expected, rel=1e-6)
    confusion = [[0] * 7 for _ in range(7)]
    for true, said in [(0, 0), (4, 0), (5, 0), (3, 3), (6, 6), (0, 6)]:
        confusion[true][said] += 1
    assert result.confusion.tolist() == confusion
    classes = result.per_class("abcdefg")
    assert classes == {"a": 0.5, "b": None, "c": None, "d": 1.0, "e": 0.0, "f": 0.0, "g": 1.0}
    record = json.loads(json.dumps(result.as_dict(list("abcdefg"))))
    assert record == {
        "top1": 0.5,
        "top5": 4 / 6,
        "loss": pytest.approx(expected),
        "count": 6,
        "per_class": classes,
        "confusion": confusion,
        "classes": list("abcdefg"),
    }


def test_the_worst_are_those_whose_class_was_given_least():
    result = evaluate(
        Spoken(), [batch_of([0, 1, 2], LABELS[:3]), batch_of([3, 4, 5], LABELS[3:])], 7
    )
    given = [math.exp(-cross_entropy(row, k)) for row, k in zip(LOGITS, LABELS, strict=True)]
    assert result.given == pytest.approx(given, rel=1e-6)
    assert result.worst(3) == [5, 2, 1]  # the last of seven, the sixth, the fifth
    assert result.worst(0) == []
    assert result.most_frequent == 2 / 6


def test_probabilities_are_averaged_over_views():
    """Two views of each of two videos: the mean of probabilities, not of logits."""
    rows = torch.tensor([[0, 5], [3, 4]], dtype=torch.uint8)
    batch = Clip(rows.reshape(2, 2, 1, 1, 1, 1), torch.tensor([6, 3]), torch.tensor([0, 1]))
    ((same, said),) = classify(Spoken(), [batch])
    assert same is batch
    assert said.trace is None
    mean = torch.tensor(LOGITS).softmax(1)[rows.long()].mean(1)  # (2, 7)
    torch.testing.assert_close(said.scores.exp(), mean)
    result = evaluate(Spoken(), [batch], 7)
    assert result.confusion[6, 0] == 1  # 0 in one view, 6 in the other; 0 a little more
    assert result.loss == pytest.approx(-float((mean[0, 6].log() + mean[1, 3].log()) / 2), rel=1e-6)


def _share(rank, path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{path}/meet", rank=rank, world_size=2
    )
    rows = [[0, 1, 2, 3], [4, 5]][rank]
    batch = batch_of(rows, [LABELS[row] for row in rows])
    whole, own = (evaluate(Spoken(), [batch], 7, shared=shared) for shared in (True, False))
    torch.save([whole.as_dict(list("abcdefg")), own.count, len(whole.given)], f"{path}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_shares_of_several_processes_add_up(tmp_path):
    torch.multiprocessing.start_processes(_share, (tmp_path,), nprocs=2, start_method="fork")
    expected = evaluate(Spoken(), [batch_of(list(range(6)), LABELS)], 7).as_dict(list("abcdefg"))
    for rank, count in enumerate([4, 2]):
        whole, own, given = torch.load(tmp_path / f"{rank}.pt")
        assert whole == expected | {"loss": pytest.approx(expected["loss"], rel=1e-6)}
        assert own == given == count


@pytest.mark.parametrize(("classes", "top5"), [(1, None), (3, None), (5, None), (6, 5 / 6)])
def test_below_six_classes_there_is_no_top_five(classes, top5):
    class Counting(nn.Module):
        def forward(self, video):
            return torch.arange(float(classes)).expand(len(video), -1)

    result = evaluate(Counting(), [batch_of([0] * classes, range(classes))], classes)
    assert (result.top1, result.top5) == (1 / classes, top5)
    assert result.as_dict(list("abcdef"[:classes])).get("top5") == top5


def test_what_was_said_of_each_video_is_kept_in_their_order():
    batches = [batch_of([2, 0], [4, 6]), batch_of([5], [1])]
    result = evaluate(Spoken(), batches, 7)
    torch.testing.assert_close(result.scores, torch.tensor(LOGITS)[[2, 0, 5]].softmax(1))
    assert result.labels.tolist() == [4, 6, 1]


def test_a_name_too_few_is_an_error():
    result = evaluate(Spoken(), [batch_of([0], [0])], 7)
    with pytest.raises(ValueError, match="zip"):
        result.per_class("abc")


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_in_eval_mode_only_meanwhile(training):
    model = Spoken().train(training)
    evaluate(model, [batch_of([0, 1], [0, 0])], 7)
    assert model.modes == [False]
    assert model.training is training
    with pytest.raises(ValueError, match="labels must be"):
        evaluate(model, [batch_of([0], [7])], 7)
    assert model.training is training


@pytest.mark.parametrize("label", [-1, 7, 1000])
def test_a_label_out_of_range_is_named(label):
    with pytest.raises(ValueError, match=rf"labels must be in \[0, 7\), got {label}: "):
        evaluate(Spoken(), [batch_of([0, 1], [0, label])], 7)
    with pytest.raises(ValueError, match=rf"got {label}"):
        check_labels(torch.tensor([3, label]), 7)
    check_labels(torch.tensor([0, 6]), 7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused(value):
    class Broken(nn.Module):
        def forward(self, video):
            return torch.full((len(video), 7), value)

    with pytest.raises(ValueError, match="not finite: look for NaN in the frames or the weights"):
        evaluate(Broken(), [batch_of([0], [0])], 7)


def test_frames_with_nan_are_refused():
    from interlace.models.registry import create_model

    video = torch.zeros(1, 2, 1, 24, 24)
    video[0, 1, 0, 3, 3] = float("nan")
    batch = VideoBatch(video, torch.tensor([0]), video, video, video)
    with pytest.raises(ValueError, match="NaN in the frames"):
        evaluate(create_model("rstg_all_temp_small", num_classes=3), [batch], 3)


def test_nothing_to_evaluate_on_is_an_error():
    with pytest.raises(ValueError, match="no videos"):
        evaluate(Spoken(), [], 7)


# --- regions ------------------------------------------------------------------------------------


def some_videos(size=10):
    return SyncMNIST(load_digits("embedded", train=False), size=size, num_frames=4, frame=24)


def test_regions_of_a_graph_inside_a_network_are_measured_too():
    from interlace.models.registry import create_model

    videos, model = some_videos(2), create_model("dyreg", num_classes=46).eval()
    whole = videos.batch(range(2))
    with torch.no_grad():
        _, traces = model(whole.video, return_trace=True)
    expected = region_metrics(traces["layer2"].boxes, whole.boxes).as_dict()
    found = evaluate(model, [whole], 46, regions=True).regions.as_dict()
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cuts", [[10], [3, 7]])
def test_regions_are_measured_against_the_boxes_of_the_digits(cuts):
    """The same numbers as from the traces, and nothing else becomes another."""
    from interlace.models.registry import create_model

    torch.manual_seed(0)
    videos, model = some_videos(), create_model("rstg_positional_small", num_classes=46).eval()
    whole = videos.batch(range(10))
    batches = [videos.batch(part) for part in torch.arange(10).split(cuts)]
    result = evaluate(model, batches, 46, regions=True)
    with torch.no_grad():
        _, trace = model(whole.video, return_trace=True)
    expected = region_metrics(trace.boxes, whole.boxes).as_dict()
    assert result.regions.as_dict() == pytest.approx(expected, rel=1e-9)
    assert (result.regions.frames, result.regions.objects) == (40, 120)
    record = json.loads(json.dumps(result.as_dict([str(k) for k in range(46)])))
    assert record["regions"] == result.regions.as_dict()

    plain = evaluate(model, batches, 46)
    assert plain.regions is None
    assert plain.loss == pytest.approx(result.loss, rel=1e-6)
    assert plain.confusion.equal(result.confusion)
    assert "regions" not in plain.as_dict([str(k) for k in range(46)])


class Looking(nn.Module):
    """Looks where it is told to, one batch after another; notes whether it was asked to show it."""

    def __init__(self, *boxes):
        super().__init__()
        self.boxes = list(boxes)
        self.asked = []

    def forward(self, video, *, return_trace=False):
        self.asked.append(return_trace)
        logits = torch.zeros(len(video), 46)
        if not return_trace:
            return logits
        boxes = self.boxes.pop(0)
        if boxes is None:
            return logits, None
        return logits, Trace(boxes, boxes, boxes, boxes, torch.ones(boxes.shape[:3]))


def test_a_model_that_looks_at_the_digits_is_told_so():
    batches = [some_videos().batch(part) for part in ([0, 1, 2], [3])]
    perfect = evaluate(Looking(*(b.boxes for b in batches)), batches, 46, regions=True).regions
    assert (perfect.dist, perfect.recall, perfect.run_length) == (0, 1, 4)
    assert (perfect.frames, perfect.objects) == (16, 48)
    # the second batch weighs a third of the first
    away = batches[1].boxes + torch.tensor([0.25, 0, 0, 0])
    model = Looking(batches[0].boxes, away)
    alone = region_metrics(away, batches[1].boxes)
    both = evaluate(model, batches, 46, regions=True).regions
    assert alone.dist_r > 0.05
    assert both.dist_r == pytest.approx(alone.dist_r / 4, rel=1e-6)


def test_a_model_is_asked_for_its_regions_only_where_they_are_wanted():
    batches = [some_videos().batch([0, 1])]
    model = Looking()
    assert evaluate(model, batches, 46).regions is None
    assert model.asked == [False]


def test_without_a_graph_or_without_boxes_there_are_no_regions():
    batch = some_videos().batch([0, 1])
    bare = batch._replace(boxes=torch.zeros(2, 4, 0, 4))
    nobody = batch._replace(boxes=torch.full_like(batch.boxes, float("nan")))
    assert evaluate(Looking(None), [batch], 46, regions=True).regions is None
    for other in (bare, nobody):
        assert evaluate(Looking(batch.boxes), [other], 46, regions=True).regions is None
    some = evaluate(Looking(batch.boxes, batch.boxes), [bare, batch], 46, regions=True)
    assert (some.count, some.regions.frames) == (4, 8)


def test_regions_that_are_no_numbers_end_the_evaluation():
    batch = some_videos().batch([0, 1])
    broken = torch.full_like(batch.boxes, float("nan"))
    with pytest.raises(ValueError, match="regions must be finite"):
        evaluate(Looking(broken), [batch], 46, regions=True)


def test_a_baseline_is_evaluated_as_before():
    from interlace.models.registry import create_model

    torch.manual_seed(0)
    model, batches = create_model("mean_lstm_small"), [some_videos().batch(range(10))]
    asked, plain = evaluate(model, batches, 46, regions=True), evaluate(model, batches, 46)
    assert asked.regions is None
    assert (asked.top1, asked.top5, asked.loss) == (plain.top1, plain.top5, plain.loss)
    assert asked.confusion.equal(plain.confusion)
    assert asked.scores.equal(plain.scores)
    assert asked.labels.equal(plain.labels)
