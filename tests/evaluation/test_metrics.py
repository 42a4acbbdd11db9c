"""Regions against objects: by hand, in plain loops, and what must hold for any boxes."""

import json
import math
from dataclasses import FrozenInstanceError

import pytest
import torch

from interlace.evaluation.region_metrics import RegionMeter, region_metrics
from tolerances import EXACT, FLOAT32

NAN = float("nan")
GONE = (NAN,) * 4
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def box(x, y, half=0.125):
    return (x, y, half, half)


def clip(*frames):
    """Boxes (1, T, N, 4) of a list for each frame."""
    return torch.tensor([frames], dtype=torch.float64)


def some_boxes(generator, *shape):
    """Random boxes (*shape, 4)."""
    boxes = torch.rand(*shape, 4, generator=generator, dtype=torch.float64)
    return boxes * torch.tensor([1, 1, 0.3, 0.3]) + torch.tensor([0, 0, 0.02, 0.02])


def scene(seed, B=3, T=6, N=5, M=4, absent=0.3):
    """Random regions, objects, NaN where absent, and which are there; the first frame has none."""
    generator = torch.Generator().manual_seed(seed)
    regions, objects = some_boxes(generator, B, T, N), some_boxes(generator, B, T, M)
    present = torch.rand(B, T, M, generator=generator) >= absent
    present[0, 0] = False
    return regions, objects.masked_fill(~present[..., None], NAN), present


# --- the same again, one number at a time, in float64 -------------------------------------------


def gap(a, b):
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)


def overlap(a, b):
    """Intersection over union."""
    inner = 1.0
    for k in (0, 1):
        low, high = max(a[k] - a[k + 2], b[k] - b[k + 2]), min(a[k] + a[k + 2], b[k] + b[k + 2])
        inner *= max(high - low, 0)
    union = 4 * a[2] * a[3] + 4 * b[2] * b[3] - inner
    return inner / union if union > 0 else 0.0


def naive(batches):
    """The metrics of a list of (regions, objects, present)."""
    precision, recall, hits, overlaps, runs, pairs = [], [], [], [], [], []
    for clips in batches:
        for regions, objects, present in zip(*(part.tolist() for part in clips), strict=True):
            nearest = []  # [frame][node]
            for nodes, things, there in zip(regions, objects, present, strict=True):
                seen = [j for j, is_there in enumerate(there) if is_there]
                if not seen:
                    nearest.append([None] * len(nodes))
                    continue
                near = [min((gap(node, things[j]), j) for j in seen) for node in nodes]
                nearest.append([j for _, j in near])
                precision.append(sum(d for d, _ in near) / len(nodes))
                recall.append(sum(min(gap(n, things[j]) for n in nodes) for j in seen) / len(seen))
                for j in seen:
                    x, y, rx, ry = things[j]
                    hits.append(any(abs(n[0] - x) <= rx and abs(n[1] - y) <= ry for n in nodes))
                    overlaps.append(max(overlap(node, things[j]) for node in nodes))
            for node in range(len(regions[0])):
                length = 0
                for frame, now in enumerate(nearest):
                    last = nearest[frame - 1][node] if frame else None
                    if None not in (last, now[node]):
                        pairs.append(last == now[node])
                    if length and last != now[node]:
                        runs.append(length)
                        length = 0
                    length += now[node] is not None
                if length:
                    runs.append(length)

    def mean(values):
        return sum(values) / len(values)

    dist_p, dist_r = mean(precision), mean(recall)
    return {
        "dist": 2 * dist_p * dist_r / (dist_p + dist_r),
        "dist_p": dist_p,
        "dist_r": dist_r,
        "recall": mean(hits),
        "iou": mean(overlaps),
        "same_object": mean(pairs) if pairs else None,
        "run_length": mean(runs),
        "frames": len(precision),
        "objects": len(hits),
    }


def assert_same(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value is None or isinstance(value, int):
            assert found[name] == value, name
        else:
            assert math.isclose(
                found[name], value, rel_tol=tolerance["rtol"], abs_tol=tolerance["atol"]
            ), (name, found[name], value)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_plain_loops(seed, device):
    batches = [scene(seed), scene(seed + 10, B=2, T=1, N=3, M=2), scene(seed + 20, T=9, N=2, M=7)]
    expected = naive(batches)
    for dtype, tolerance in ((torch.float64, EXACT), (torch.float32, FLOAT32)):
        meter = RegionMeter()
        for regions, objects, _ in batches:
            meter.add(regions.to(device, dtype), objects.to(device, dtype))
        assert_same(meter.result().as_dict(), expected, **tolerance)


# --- by hand ------------------------------------------------------------------------------------


def test_distances_are_those_counted_by_hand():
    # nodes at 0 and 0.5 of a line, objects at 0.125 and at 1: to objects 0.125 and 0.375 (the near
    # one), to nodes 0.125 and 0.5
    regions = clip([box(0, 0.5), box(0.5, 0.5)])
    objects = clip([box(0.125, 0.5), box(1, 0.5)])
    result = region_metrics(regions, objects)
    assert result.dist_p == 0.25
    assert result.dist_r == 0.3125
    assert result.dist == 2 * 0.25 * 0.3125 / 0.5625
    assert result.recall == 0.5  # 0 is on the edge of [0, 0.25]
    # the first object and node share [0, 0.125] of 0.375; the second object touches nobody
    assert result.iou == pytest.approx((1 / 3) / 2, rel=1e-12)
    assert (result.same_object, result.run_length) == (None, 1.0)
    assert (result.frames, result.objects) == (1, 2)


def test_a_distance_is_along_both_axes():
    result = region_metrics(clip([box(0.5, 0.5)]), clip([box(0.8, 0.9)]))
    assert result.dist_p == pytest.approx(0.5, rel=1e-12)
    assert result.dist_r == pytest.approx(0.5, rel=1e-12)


def test_all_nodes_on_one_object_are_precise_and_miss_the_other():
    result = region_metrics(
        clip([box(0.25, 0.5), box(0.25, 0.5)]), clip([box(0.25, 0.5), box(0.75, 0.5)])
    )
    assert (result.dist_p, result.dist_r, result.recall) == (0, 0.25, 0.5)
    assert result.dist == 0  # the harmonic mean of 0 and anything, as in the paper


def test_each_frame_weighs_the_same_in_the_distances_and_each_object_in_the_rest():
    node = box(0, 0.5)
    one, four = box(0.5, 0.5), box(0.25, 0.5)
    regions = clip([node], [node])
    objects = clip([one, GONE, GONE, GONE], [four] * 4)
    result = region_metrics(regions, objects)
    assert result.dist_r == (0.5 + 0.25) / 2  # not (0.5 + 4 * 0.25) / 5
    assert result.objects == 5
    near = region_metrics(clip([box(0.25, 0.5)], [node]), objects)
    assert near.recall == 0
    hit = region_metrics(clip([box(0.5, 0.5)], [node]), objects)
    assert hit.recall == 1 / 5
    assert hit.iou == 1 / 5


@pytest.mark.parametrize(("x", "hit"), [(0.625, 1.0), (0.626, 0.0), (0.375, 1.0), (0.374, 0.0)])
def test_a_centre_on_the_edge_of_an_object_is_in_it(x, hit):
    thing = clip([box(0.5, 0.5)])
    assert region_metrics(clip([box(x, 0.5, 0.4)]), thing).recall == hit
    assert region_metrics(clip([box(0.5, x, 0.4)]), thing).recall == hit


def test_runs_are_those_counted_by_hand():
    a, b = box(0.25, 0.5), box(0.75, 0.5)
    # node 0: a a a b b b, node 1: stays with b, node 2: a b a b a b
    regions = clip(*([n0, b, n2] for n0, n2 in zip([a] * 3 + [b] * 3, [a, b] * 3, strict=True)))
    objects = clip(*[[a, b]] * 6)
    result = region_metrics(regions, objects)
    assert result.same_object == (4 + 5 + 0) / 15
    assert result.run_length == 18 / (2 + 1 + 6)


def test_a_node_that_goes_with_its_object_stays_with_it():
    places = [0.125, 0.375, 0.625, 0.875]
    objects = clip(*([box(p, 0.25), box(1 - p, 0.75)] for p in places))
    result = region_metrics(objects.flip(2), objects)
    assert (result.same_object, result.run_length) == (1, 4)
    left = clip(*[[box(0.125, 0.5)]] * 4)
    assert region_metrics(left, objects).same_object == 2 / 3  # the other one comes nearer


def test_frames_without_objects_end_a_run_and_count_for_nothing():
    a = box(0.25, 0.5)
    regions = clip(*[[a]] * 5)
    objects = clip([a], [a], [GONE], [a], [a])
    result = region_metrics(regions, objects)
    assert result == region_metrics(
        torch.cat([regions[:, :2], regions[:, 3:]]), torch.cat([objects[:, :2], objects[:, 3:]])
    )
    assert (result.frames, result.objects) == (4, 4)
    assert (result.same_object, result.run_length) == (1, 2)
    # two clips are no longer one
    assert region_metrics(regions[:, :4], regions[:, :4]).run_length == 4


def test_an_object_that_comes_back_is_another_run():
    a, b = box(0.25, 0.5), box(0.75, 0.5)
    result = region_metrics(clip(*[[a]] * 3), clip([a, b], [GONE, b], [a, b]))
    assert (result.same_object, result.run_length) == (0, 1)


# --- nodes that are silent ----------------------------------------------------------------------


def measured(regions, objects, mass):
    meter = RegionMeter()
    meter.add(regions, objects, torch.tensor([mass]))
    return meter.result()


def test_silent_nodes_are_not_measured():
    thing = clip([box(0.5, 0.5)])
    nodes = clip([box(0.75, 0.5), box(0.5, 0.5)])
    spoken = measured(nodes, thing, [[1.0, 0.49]])
    assert (spoken.dist_p, spoken.dist_r, spoken.recall, spoken.iou) == (0.25, 0.25, 0, 0)
    other = measured(nodes, thing, [[0.0, 0.5]])  # a half is enough
    assert (other.dist_p, other.dist_r, other.recall, other.iou) == (0, 0, 1, 1)
    both = measured(nodes, thing, [[0.5, 1.0]])
    assert (both.dist_p, both.dist_r, both.recall, both.iou) == (0.125, 0, 1, 1)


def test_distances_are_means_over_the_nodes_that_speak_in_a_frame():
    things = clip(*[[box(0.5, 0.5)]] * 2)
    nodes = clip(*[[box(0.5, 0.5), box(0.75, 0.5), box(0.5, 1.0)]] * 2)
    result = measured(nodes, things, [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert result.dist_p == (0.125 + 0.5) / 2
    assert result.dist_r == (0.0 + 0.5) / 2
    assert result.recall == 0.5


def test_a_pause_ends_a_run():
    nodes = clip(*[[box(0.25, 0.5), box(0.75, 0.5)]] * 4)
    # the first speaks twice, pauses, and comes back: runs of 2 and 1; the other has one of 4
    result = measured(nodes, nodes, [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert result.run_length == (2 + 1 + 4) / 3
    assert result.same_object == 1
    assert measured(nodes[:, :2], nodes[:, :2], [[1.0, 0.0], [0.0, 1.0]]).same_object is None


def test_in_a_frame_in_which_nobody_speaks_all_nodes_count():
    things = clip(*[[box(0.5, 0.5)]] * 2)
    nodes = clip(*[[box(0.5, 0.5), box(0.75, 0.5)]] * 2)
    nobody = measured(nodes, things, [[0.49, 0.0], [0.2, 0.1]])
    assert nobody == region_metrics(nodes, things)
    once = measured(nodes, things, [[0.0, 0.1], [0.0, 1.0]])
    assert once.dist_p == (0.125 + 0.25) / 2
    assert once.dist_r == (0.0 + 0.25) / 2
    assert once.recall == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_never_speaks_might_not_be_there(seed):
    regions, objects, _ = scene(seed)
    mass = torch.ones(regions.shape[:3])
    mass[..., 2] = 0.3
    meter = RegionMeter()
    meter.add(regions, objects, mass)
    expected = region_metrics(regions[:, :, [0, 1, 3, 4]], objects)
    assert_same(meter.result().as_dict(), expected.as_dict(), **EXACT)
    always = RegionMeter()
    always.add(regions, objects, torch.full_like(mass, 0.5))
    assert always.result() == region_metrics(regions, objects)


def test_masses_of_other_shapes_are_refused():
    meter = RegionMeter()
    with pytest.raises(ValueError, match=r"mass must be \(1, 1, 1\), a number for each region"):
        meter.add(clip([box(0.5, 0.5)]), clip([box(0.5, 0.5)]), torch.ones(1, 1, 2))
    assert meter.frames == 0


def test_the_first_of_objects_equally_near_is_the_nearest():
    near = [box(0.75, 0.5), box(0.25, 0.5), box(0.5, 0.25)]
    far = [box(0.625, 0.5), box(0.25, 0.5), box(0.5, 0.25)]
    other = [box(0.75, 0.5), box(0.375, 0.5), box(0.5, 0.25)]
    nodes = clip(*[[box(0.5, 0.5)]] * 2)
    assert region_metrics(nodes, clip(near, far)).same_object == 1  # the first of both
    assert region_metrics(nodes, clip(near, other)).same_object == 0


# --- what must hold for any boxes ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_nodes_objects_and_clips_does_not_matter(seed):
    regions, objects, _ = scene(seed)
    expected = region_metrics(regions, objects).as_dict()
    generator = torch.Generator().manual_seed(seed)
    nodes, things, clips = (torch.randperm(n, generator=generator) for n in (5, 4, 3))
    for parts in (
        (regions[:, :, nodes], objects),
        (regions, objects[:, :, things]),
        (regions[clips], objects[clips]),
    ):
        assert_same(region_metrics(*parts).as_dict(), expected, **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_moving_and_turning_everything_changes_nothing(seed):
    regions, objects, _ = scene(seed)
    expected = region_metrics(regions, objects).as_dict()
    step = torch.tensor([0.3, -0.2, 0, 0], dtype=torch.float64)
    turn = [1, 0, 3, 2]
    moved = region_metrics(regions + step, objects + step)
    turned = region_metrics(regions[..., turn], objects[..., turn])
    assert_same(moved.as_dict(), expected, **EXACT)
    assert_same(turned.as_dict(), expected, **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_regions_that_are_the_objects_are_perfect(seed):
    objects = some_boxes(torch.Generator().manual_seed(seed), 3, 6, 4)
    result = region_metrics(objects, objects)
    assert (result.dist, result.dist_p, result.dist_r, result.recall) == (0, 0, 0, 1)
    assert result.iou == pytest.approx(1, rel=1e-12)
    assert (result.same_object, result.run_length) == (1, 6)
    assert (result.frames, result.objects) == (18, 72)


@pytest.mark.parametrize("seed", range(3))
def test_another_node_makes_no_object_worse_off(seed):
    regions, objects, _ = scene(seed)
    fewer, more = (region_metrics(r, objects) for r in (regions[:, :, :2], regions))
    assert more.dist_r <= fewer.dist_r
    assert more.recall >= fewer.recall
    assert more.iou >= fewer.iou


@pytest.mark.parametrize("seed", range(3))
def test_exchanging_nodes_and_objects_exchanges_precision_and_recall(seed):
    regions, objects, _ = scene(seed, absent=0)
    regions, objects = regions[1:], objects[1:]  # with all objects in all frames
    one, other = region_metrics(regions, objects), region_metrics(objects, regions)
    assert one.dist_p == pytest.approx(other.dist_r, rel=1e-12)
    assert one.dist_r == pytest.approx(other.dist_p, rel=1e-12)
    assert one.dist == pytest.approx(other.dist, rel=1e-12)


@pytest.mark.parametrize("cuts", [[6], [1, 5], [2, 2, 2]])
def test_batches_add_up_to_the_whole_and_not_to_the_mean_of_their_means(cuts):
    regions, objects, _ = scene(5, B=6, absent=0.6)
    meter = RegionMeter()
    for parts in zip(*(part.split(cuts) for part in (regions, objects)), strict=True):
        meter.add(*parts)
    expected = region_metrics(regions, objects).as_dict()
    assert_same(meter.result().as_dict(), expected, **EXACT)


def test_sums_are_kept_in_float64():
    """In float32 a sum of 0.1 stands still long before."""
    regions = torch.tensor([0.1, 0, 0.1, 0.1]).expand(500, 50, 4, 4)
    objects = torch.tensor([0, 0, 0.1, 0.1]).expand(500, 50, 1, 4)
    meter = RegionMeter()
    for _ in range(20):
        meter.add(regions, objects)
    exact = float(torch.tensor(0.1))
    assert meter.frames == 500_000
    assert meter.result().dist_p == pytest.approx(exact, rel=1e-9)
    assert meter.result().dist_r == pytest.approx(exact, rel=1e-9)


def test_half_precision_is_measured_in_float32():
    regions, objects, _ = scene(1)
    low, high = regions.bfloat16(), objects.float()
    assert region_metrics(low, high) == region_metrics(low.float(), high)


# --- nothing there, and what is refused ---------------------------------------------------------


@pytest.mark.parametrize("objects", [torch.zeros(2, 3, 0, 4), torch.full((2, 3, 4, 4), NAN)])
def test_no_object_anywhere_is_added_but_has_no_result(objects):
    regions = some_boxes(torch.Generator().manual_seed(0), 2, 3, 5)
    meter = RegionMeter()
    meter.add(regions, objects)
    assert meter.frames == 0
    with pytest.raises(ValueError, match="no frame has an object"):
        meter.result()
    meter.add(regions, regions)
    assert meter.result() == region_metrics(regions, regions)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_no_clips_or_frames_add_nothing(shape):
    meter = RegionMeter()
    meter.add(torch.zeros(*shape, 5, 4), torch.zeros(*shape, 2, 4))
    with pytest.raises(ValueError, match="nothing to measure"):
        meter.result()
    with pytest.raises(ValueError, match="nothing to measure"):
        RegionMeter().result()


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("part", range(4))
def test_regions_that_are_no_numbers_are_refused_by_place(part, value):
    regions, objects, _ = scene(0)
    regions[1, 4, 3, part] = value
    meter = RegionMeter()
    with pytest.raises(ValueError, match=r"regions must be finite .* clip 1, frame 4, place 3"):
        meter.add(regions, objects)
    assert meter.frames == 0


@pytest.mark.parametrize(
    "wrong",
    [
        (0.5, NAN, 0.1, 0.1),  # NaN in part
        (0.5, float("inf"), 0.1, 0.1),
        (0.5, 0.5, -0.1, 0.1),
    ],
)
def test_objects_that_are_no_boxes_are_refused_by_place(wrong):
    regions, objects, _ = scene(0)
    objects[2, 1, 3] = torch.tensor(wrong)
    with pytest.raises(ValueError, match=r"objects .* clip 2, frame 1, place 3; .*absent NaN"):
        region_metrics(regions, objects)


def test_negative_extents_of_regions_are_refused():
    with pytest.raises(ValueError, match="rx, ry >= 0"):
        region_metrics(clip([(0.5, 0.5, 0.1, -0.1)]), clip([box(0.5, 0.5)]))


@pytest.mark.parametrize(
    ("regions", "objects", "sentence"),
    [
        ((2, 3, 4), (2, 3, 5, 4), r"boxes \(B, T, N, 4\) .*, got \(2, 3, 4\) and"),
        ((2, 3, 5, 4), (2, 3, 5, 2), r"\(B, T, M, 4\) .* and \(2, 3, 5, 2\); for"),
        (
            (2, 3, 5, 4),
            (2, 4, 5, 4),
            r"same clips and frames, got \(2, 3, 5, 4\) and \(2, 4, 5, 4\)",
        ),
        ((2, 3, 5, 4), (1, 3, 5, 4), "same clips and frames"),
    ],
)
def test_other_shapes_are_refused(regions, objects, sentence):
    with pytest.raises(ValueError, match=sentence):
        region_metrics(torch.rand(regions), torch.rand(objects))


def test_nothing_that_was_given_is_changed():
    regions, objects, _ = scene(4)
    copies = regions.clone(), objects.clone()
    region_metrics(regions, objects)
    assert torch.equal(regions, copies[0])
    assert torch.equal(objects.nan_to_num(7), copies[1].nan_to_num(7))


def test_a_result_is_json_and_cannot_be_changed():
    result = region_metrics(clip([box(0.25, 0.5)]), clip([box(0.5, 0.5)]))
    assert json.loads(json.dumps(result.as_dict())) == {
        "dist": 0.25,
        "dist_p": 0.25,
        "dist_r": 0.25,
        "recall": 0.0,
        "iou": 0.0,
        "same_object": None,
        "run_length": 1.0,
        "frames": 1,
        "objects": 1,
    }
    with pytest.raises(FrozenInstanceError):
        result.recall = 1.0


def test_a_better_grid_of_regions_on_digits_is_nearer():
    """On real videos: more nodes come nearer; the ink's own boxes are perfect."""
    from interlace.data.digits.images import load_digits
    from interlace.data.digits.syncmnist import SyncMNIST
    from interlace.graph.boxes import grid_boxes

    batch = SyncMNIST(load_digits("embedded", train=True), size=20).batch(range(20))
    grids = [
        region_metrics(grid_boxes((s,)).expand(20, 10, -1, -1), batch.boxes) for s in (1, 2, 4, 8)
    ]
    assert [g.dist_r for g in grids] == sorted((g.dist_r for g in grids), reverse=True)
    assert grids[-1].recall == 1  # cells of 1/8 under digits of 0.28
    assert grids[0].recall < 0.5
    assert region_metrics(batch.boxes, batch.boxes).dist == 0
