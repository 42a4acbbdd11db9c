"""What a run is shown: a function of the step."""

import pytest
import torch

from interlace.data.digits.datasets import batches, make_videos, video_options
from interlace.data.digits.images import load_digits
from interlace.training.lessons import FRAMES_A_VIDEO, Phase, Plan, make_plan
from interlace.training.task import Processes
from interlace.training.tasks.digit_options import DigitRecipeOptions as RecipeOptions
from interlace.training.tasks.digit_options import Lesson

OPTIONS = video_options("SyncMNIST")(
    digits="embedded", num_digits=3, classes=4, num_frames=4, canvas=50, frame=16,
    no_pair=0.25, train_size=20, validation_size=7, test_size=5, seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load_digits("embedded", train=True)


@pytest.fixture(scope="module")
def videos(digits):
    return make_videos(OPTIONS, digits, split="train")


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_steps_are_counted_through_the_phases(videos):
    phases = [Phase(videos, steps, 2, pretrain=steps == 3) for steps in (3, 0, 1, 4)]
    plan = Plan(phases)
    assert (plan.steps, plan.pretrain_steps) == (8, 3)
    assert [phase.steps for phase in plan.phases] == [3, 1, 4]  # an empty one is left out
    found = [(plan.phases.index(plan.at(s)[0]), plan.at(s)[1]) for s in range(8)]
    assert found == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3)]
    with pytest.raises(IndexError, match="8 steps"):
        plan.at(8)


def test_a_plan_without_steps_is_an_error(videos):
    with pytest.raises(ValueError, match="nothing to train on"):
        Plan([Phase(videos, 0, 2)])


def test_batches_are_the_videos_in_order_and_from_the_first_again(videos):
    phase = Phase(videos, 10, 6)
    for step, indices in [
        (0, [0, 1, 2, 3, 4, 5]),
        (2, [12, 13, 14, 15, 16, 17]),
        (3, [18, 19, 0, 1, 2, 3]),  # 20 videos
        (7, [2, 3, 4, 5, 6, 7]),
    ]:
        assert same(phase.batch(step, 0, "cpu"), videos.batch(indices))
    assert same(phase.batch(3, 0, "cpu"), phase.batch(3, 0, "cpu"))


def test_processes_and_gathered_batches_share_a_step_in_order(videos):
    found = [
        Phase(videos, 10, 2, 2, Processes(rank, 2)).batch(1, part, "cpu")
        for part in (0, 1)
        for rank in (0, 1)
    ]
    for k, batch in enumerate(found):  # step 1 has videos 8 to 15
        assert same(batch, videos.batch([8 + 2 * k, 9 + 2 * k]))


def test_a_data_set_is_walked_through_once_in_order(videos):
    found = list(batches(videos, 8, "cpu"))
    assert [len(batch.label) for batch in found] == [8, 8, 4]
    assert torch.equal(torch.cat([b.video for b in found]), videos.batch(range(20)).video)


def test_options_reach_the_data_set_and_what_is_left_out_stays_its_own(digits):
    made = make_videos(OPTIONS, digits, split="validation")
    assert (made.num_digits, made.classes, made.num_frames) == (3, 4, 4)
    assert (made.canvas, made.frame, made.no_pair, made.seed) == (50, 16, 0.25, 3)
    assert (made.split, len(made)) == ("validation", 7)
    assert len(make_videos(OPTIONS, digits, split="test")) == 5
    plain = make_videos(video_options("MultiSyncMNIST")(), digits, split="train")
    assert (plain.num_digits, plain.frame, plain.num_classes) == (5, 128, 56)
    slow = make_videos(video_options("SyncMNIST")(max_step=3), digits, split="train")
    assert (slow.max_step, slow.num_digits) == (3, 3)


@pytest.mark.parametrize("dataset", ["SyncMNIST", "MultiSyncMNIST"])
def test_a_lesson_of_fewer_digits_has_the_labels_of_the_experiment(digits, dataset):
    options = video_options(dataset)(no_pair=0.4, num_digits=2, canvas=50, frame=16)
    recipe = RecipeOptions(
        videos=64, pretrain_frames=0, batch_size=64, lessons=[Lesson(64, classes=3, max_step=20)]
    )
    lesson, own = make_plan(options, recipe, digits).phases
    assert (lesson.videos.classes, lesson.videos.max_step) == (3, 20)
    own_videos, seen = own.videos, set()
    before, after = lesson.videos.batch(range(64)), lesson.batch(0, 0, "cpu")
    for theirs, ours in zip(before.label.tolist(), after.label.tolist(), strict=True):
        assert lesson.videos.class_name(theirs) == own_videos.class_name(ours)
        seen.add(own_videos.class_name(ours))
    assert "none" in seen
    assert "2-1" in seen


def test_a_run_pre_trains_then_has_lessons_then_the_experiment(digits):
    recipe = RecipeOptions(
        videos=33, pretrain_frames=40, pretrain_batch=8, batch_size=4,
        lessons=[Lesson(9, num_digits=2, no_pair=0.5), Lesson(8, num_digits=2)],
    )  # fmt: skip
    pretrain, first, second, own = make_plan(OPTIONS, recipe, digits).phases
    assert (pretrain.pretrain, pretrain.steps) == (True, 5)
    assert pretrain.batch_size * FRAMES_A_VIDEO == 8
    assert pretrain.videos.num_frames == FRAMES_A_VIDEO
    assert pretrain.videos.num_digits == 3  # as many as the videos will have
    assert (first.steps, first.videos.num_digits, first.videos.no_pair) == (2, 2, 0.5)
    assert (second.steps, second.videos.num_digits, second.videos.no_pair) == (2, 2, 0.25)
    assert (own.steps, own.videos.num_digits, own.videos.num_frames) == (8, 3, 4)
    assert not any(phase.pretrain for phase in (first, second, own))
    no_frames = make_plan(
        OPTIONS, RecipeOptions(videos=64, pretrain_frames=0, batch_size=64), digits
    )
    assert (no_frames.steps, no_frames.pretrain_steps) == (1, 0)
