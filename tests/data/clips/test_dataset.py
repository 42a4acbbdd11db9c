"""Clips as a model is shown them, and batches of them, read here or by other processes."""

import os
import resource
from itertools import chain

import numpy as np
import pytest
import torch

from interlace.data.clips import (
    ClipList,
    ClipShape,
    Item,
    Order,
    TestViews,
    TrainingClips,
    clip_loader,
    in_turn,
    open_clips,
)
from interlace.data.clips.manifest import (
    Entry,
    clips_fingerprint,
    fingerprint,
    without_broken,
)
from interlace.data.clips.sampling import random_crop, random_flip, segment_frames
from interlace.data.clips.scan import scan
from interlace.data.clips.transforms import resize_short_side
from interlace.data.counter_random import stream_key
from interlace.data.video.read import VideoError, read_frames
from videos import cut, numbers, write

SHAPE = ClipShape(num_frames=4, size=40, short_side=48)  # videos of 80 x 48 stay as they are


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    for name in ("falling", "moving left", "moving right"):
        (root / name).mkdir()
    write(root / "falling" / "a.mp4", 30)
    write(root / "moving left" / "b.webm", 25)
    write(root / "moving right" / "c.avi", 20, size=(64, 32))
    return open_clips(root)


def same(first, second):
    return all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for a, b in zip(first, second, strict=True)
    )


# --- to train on ----------------------------------------------------------------------------------


def test_a_training_clip_is_frames_and_a_square_that_epoch_and_index_draw(clips):
    data = TrainingClips(clips, SHAPE, seed=7)
    for epoch, index in [(0, 0), (3, 0), (3, 1), (3, 2)]:
        random = stream_key(7, epoch), index
        whole = resize_short_side(read_frames(clips.path(index)), 48)
        chosen = whole[segment_frames(len(whole), 4, random=random)]
        top, left, height, width = random_crop(*whole.shape[2:], 40, random=random)
        expected = chosen[:, :, top : top + height, left : left + width]
        assert same(data[epoch, index], (expected, index, index))
    drawn = {data[epoch, 0].video.sum().item() for epoch in range(4)}
    assert len(drawn) == 4
    assert not same(data[0, 0], TrainingClips(clips, SHAPE, seed=8)[0, 0])


def test_flips_swap_labels_where_they_may(clips):
    plain = TrainingClips(clips, SHAPE)
    flipping = TrainingClips(clips, SHAPE, mirrored=torch.tensor([-1, 2, 1]))
    flips = 0
    for epoch in range(8):
        assert same(flipping[epoch, 0], plain[epoch, 0])
        flipped = random_flip(random=(stream_key(0, epoch), 1))
        flips += flipped
        video, label, _ = plain[epoch, 1]
        expected = (video.flip(-1), 2, 1) if flipped else (video, label, 1)
        assert same(flipping[epoch, 1], expected)
    assert 0 < flips < 8
    with pytest.raises(ValueError, match=r"each of the 3 classes, got \(2,\)"):
        TrainingClips(clips, SHAPE, mirrored=torch.tensor([1, 0]))


# --- in a test ------------------------------------------------------------------------------------


def test_views_are_those_of_the_protocol(clips):
    clip = TestViews(clips, SHAPE, protocol="3x2")[1]
    assert clip.video.movedim(-3, -1).is_contiguous()
    views, label, index = clip
    assert (views.shape, label, index) == ((6, 4, 3, 48, 48), 1, 1)
    whole = read_frames(clips.path(1))
    shown = SHAPE.views("3x2", 25, 48, 80)
    assert [view.crop.left for view in shown] == [0, 16, 32] * 2
    for found, view in zip(views, shown, strict=True):
        left = view.crop.left
        assert torch.equal(found, whole[view.frames][..., left : left + 48])
    assert shown[0].frames.tolist() == [3, 9, 15, 21]
    assert shown[3].frames.tolist() == [0, 6, 12, 18]


def test_views_know_the_frames_asked_for(clips):
    shape = ClipShape(num_frames=3, size=48, short_side=48, sampling="dense", step=5)
    wide = TestViews(clips, shape, protocol="11x2")[0].video
    assert wide.shape == (22, 3, 3, 48, 48)
    # eleven squares side by side make up the picture again
    whole = torch.cat([wide[0], wide[10][..., 16:]], -1)
    assert numbers(whole.contiguous(memory_format=torch.channels_last)) == [9, 14, 19]
    with pytest.raises(ValueError, match="protocol must be one of central"):
        TestViews(clips, shape, protocol="5x5")


# --- batches --------------------------------------------------------------------------------------


def test_every_clip_is_seen_once_an_epoch():
    order = Order(7, 3, 0, 6)
    seen = [place for batch in order for place in batch]
    assert len(order) == order.steps == 14
    assert sorted(seen) == [(epoch, index) for epoch in range(6) for index in range(7)]
    epochs = [[index for epoch, index in seen if epoch == k] for k in range(6)]
    assert [epoch for epoch, _ in seen] == sorted(epoch for epoch, _ in seen)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert list(order) == list(Order(7, 3, 0, 6))
    assert list(order) != list(Order(7, 3, 1, 6))


def test_shuffles_are_even():
    """Where clip 0 is in 2,000 shuffles of 5: 400 each, 18 the standard deviation."""
    places = [batch.index((epoch, 0)) for epoch, batch in enumerate(Order(5, 5, 0, 2000))]
    counts = np.bincount(places)
    assert abs(counts - 400).max() < 90


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_what_one_with_their_batches_sees(world):
    alone = list(Order(11, 2 * world, 5, 4))
    shares = [Order(11, 2, 5, 4, rank=rank, world_size=world) for rank in range(world)]
    together = [list(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert together == alone


@pytest.mark.parametrize("counts", [(6, 1), (5, 3, 1)])
def test_classes_take_turns_where_they_are_balanced(counts):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    length, classes = len(labels), len(counts)
    order = Order(length, 2, 0, 40, balance=labels)
    turns = [turn for batch in order for turn in batch]
    assert len(set(turns)) == len(turns) == 40 * length // 2 * 2  # never drawn the same twice
    seen = [index for _, index in turns]
    for epoch in range(40):
        found = np.bincount([labels[k] for k in seen[epoch * length : (epoch + 1) * length]])
        assert found.max() - found.min() <= 1
    common = np.bincount(seen)[: counts[0]]  # each clip of the largest class about as often
    assert common.min() > 0.5 * 40 * length / classes / counts[0]
    assert list(Order(length, 2, 0, 40, balance=labels, start_step=7)) == list(order)[7:]


def test_a_run_goes_on_at_any_step():
    whole = list(Order(5, 2, 0, 4))
    for start in (0, 3, 10):
        order = Order(5, 2, 0, 4, start_step=start)
        assert list(order) == whole[start:]
        assert (len(order), order.steps) == (10 - start, 10)


def test_impossible_orders():
    with pytest.raises(ValueError, match="3 clips seen 1 times do not fill a batch of 4"):
        Order(3, 2, 0, 1, world_size=2)


def test_a_test_sees_every_clip_once():
    shares = [in_turn(7, 2, rank=rank, world_size=3) for rank in range(3)]
    assert shares == [[[0, 3], [6]], [[1, 4]], [[2, 5]]]


# --- other processes ------------------------------------------------------------------------------


def test_workers_read_what_this_process_reads(clips):
    data = TrainingClips(clips, SHAPE)
    here = list(clip_loader(data, Order(3, 2, 0, 4)))
    there = list(clip_loader(data, Order(3, 2, 0, 4), num_workers=2))
    assert len(here) == len(there) == 6
    assert all(batch.video.movedim(-3, -1).is_contiguous() for batch in there)
    assert all(same(a, b) for a, b in zip(here, there, strict=True))
    epoch, index = next(iter(Order(3, 2, 0, 4)))[1]
    assert same([part[1] for part in here[0]], data[epoch, index])


def test_reading_draws_no_numbers_of_the_program(clips):
    before = torch.get_rng_state()
    list(clip_loader(TrainingClips(clips, SHAPE), Order(3, 3, 0, 2)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_is_named_in_one_sentence(tmp_path, workers):
    write(tmp_path / "a.mp4", 10)
    cut(tmp_path / "a.mp4", 0.5, "b.mp4")
    clips = ClipList(tmp_path, (Item("a.mp4", 0), Item("b.mp4", 0)), ("x",))
    loader = clip_loader(TestViews(clips, SHAPE), in_turn(2, 1), num_workers=workers)
    batches = iter(loader)
    assert next(batches).index.tolist() == [0]
    with pytest.raises(VideoError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{tmp_path / 'b.mp4'} is truncated: it has")
    assert "Traceback" not in str(caught.value)


class WithoutDecoder(TestViews):
    """As on a machine without PyAV."""

    def __getitem__(self, index):
        raise ModuleNotFoundError("run: pip install it")


def test_what_is_not_installed_is_said_in_one_sentence(clips):
    loader = clip_loader(WithoutDecoder(clips, SHAPE), in_turn(3, 1), num_workers=1)
    with pytest.raises(ModuleNotFoundError, match=r"^run: pip install it$"):
        next(iter(loader))


class Killed(TestViews):
    """Ends the process that reads it, as one does that needs too much memory."""

    def __getitem__(self, index):
        os._exit(9)


def test_a_killed_worker_ends_the_run_with_what_to_do(clips):
    loader = clip_loader(Killed(clips, SHAPE), in_turn(3, 1), num_workers=1)
    with pytest.raises(OSError, match=r"was killed, or did not start: .* `interlace scan`"):
        next(iter(loader))


class Memory(TrainingClips):
    """Says, in place of the label, how much this process held at most."""

    def __getitem__(self, place):
        clip = super().__getitem__(place)
        assert torch.get_num_threads() == 1
        assert os.getpid() != self.parent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return clip._replace(label=peak)


def test_memory_stays_flat_over_200_clips(tmp_path):
    """A buffer of one frame of each clip kept would be 200 times 160 x 120 x 3 bytes, 11.5 MB."""
    for suffix in ("mp4", "webm"):
        write(tmp_path / f"a.{suffix}", 12, size=(160, 120))
    clips = ClipList(tmp_path, (Item("a.mp4", 0), Item("a.webm", 0)), ("x",))
    data = Memory(clips, ClipShape(num_frames=4, size=112, short_side=120))
    data.parent = os.getpid()
    loader = clip_loader(data, Order(2, 4, 0, 130), num_workers=1)
    peaks = [int(peak) for batch in loader for peak in batch.label]
    assert len(peaks) == 260
    assert peaks[-1] - peaks[59] < 6 * 2**20


# --- broken videos --------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path):
    (tmp_path / "x").mkdir()
    for name in ("1", "2", "3"):
        write(tmp_path / "x" / f"{name}.mp4", 5)
    cut(tmp_path / "x" / "1.mp4", 0.5, "4.mp4")
    (tmp_path / "x" / "5.mp4").touch()
    return open_clips(tmp_path)


def test_training_leaves_broken_videos_out_and_says_so(broken, caplog):
    rows = scan(broken.root, workers=0)
    left = without_broken(broken, rows, skip=True)
    assert [item.name for item in left.items] == ["x/1.mp4", "x/2.mp4", "x/3.mp4"]
    assert "2 of 5 videos" in caplog.text
    assert "x/4.mp4 is truncated" in caplog.text
    assert without_broken(left, rows, skip=False) is left


def test_an_evaluation_refuses_broken_videos(broken):
    rows = scan(broken.root, workers=0)
    with pytest.raises(VideoError, match=r"2 of 5 videos .* such as: x/4\.mp4 is trunc.*skipped"):
        without_broken(broken, rows, skip=False)
    with pytest.raises(VideoError, match="leaves none"):
        without_broken(broken.select([3, 4]), rows, skip=True)
    with pytest.raises(VideoError, match=r"1 of 5 .* not in the manifest: x/5\.mp4; .*scan"):
        without_broken(broken, rows[:4], skip=True)


def test_the_fingerprint_is_of_the_clips_used():
    rows = [Entry(f"{k}.mp4", frames=k, checksum="ab") for k in range(4)]
    clips = ClipList("x", (Item("2.mp4", 0), Item("0.mp4", 1)), ("a", "b"))
    assert clips_fingerprint(clips, rows) == fingerprint([rows[0], rows[2]])
