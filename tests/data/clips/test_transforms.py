import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interlace.data.clips.sampling import Crop
from interlace.data.clips.transforms import (
    MEAN,
    STD,
    crop,
    mirrored_labels,
    normalise,
    resize_short_side,
    short_side_size,
)

video = torch.randint(0, 256, (4, 3, 30, 44), generator=torch.Generator().manual_seed(0)).byte()


def test_sizes_by_hand():
    assert short_side_size(240, 320, 256) == (256, 341)
    assert short_side_size(320, 240, 256) == (341, 256)
    assert short_side_size(256, 340, 256) == (256, 340)
    assert short_side_size(100, 100, 256) == (256, 256)
    assert short_side_size(1080, 1920, 256) == (256, 455)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), side=st.integers(1, 600))
def test_the_aspect_is_kept(height, width, side):
    new_height, new_width = short_side_size(height, width, side)
    assert min(new_height, new_width) == side
    long, short = max(height, width), min(height, width)
    assert 0 <= side * long / short - max(new_height, new_width) < 1


@pytest.mark.parametrize("side", [12, 30, 50])
@pytest.mark.parametrize("turned", [False, True])
def test_resizing_is_torchvisions(side, turned):
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    frames = video.transpose(2, 3).contiguous() if turned else video
    assert torch.equal(
        resize_short_side(frames, side), functional.resize(frames, [side], antialias=True)
    )


def test_resizing_treats_frames_alike_and_keeps_what_fits():
    assert resize_short_side(video, 30) is video
    alone = [resize_short_side(video[k : k + 1], 20) for k in range(4)]
    assert torch.equal(resize_short_side(video, 20), torch.cat(alone))
    even = torch.full((2, 3, 10, 12), 77, dtype=torch.uint8)
    assert (resize_short_side(even, 7) == 77).all()
    with pytest.raises(ValueError, match="resize before normalising"):
        resize_short_side(normalise(video), 20)


def test_crop():
    part = crop(video, Crop(top=2, left=5, height=20, width=10))
    assert torch.equal(part, video[:, :, 2:22, 5:15])


def test_labels_of_flipped_videos():
    """Names as in Something-Something."""
    names = [
        "Pulling something from left to right",
        "Pulling something from right to left",
        "Turning the camera right while filming something",
        "Tipping something over",
        "Turning the camera left while filming something",
        "Showing that something is upright",
        "Waving the left hand",
    ]
    mirrored = mirrored_labels(names)
    assert mirrored.dtype == torch.int64
    assert mirrored.tolist() == [1, 0, 4, 3, 2, 5, -1]


def test_normalised_by_hand():
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8)[:, None, None]
    expected = [-MEAN[0] / STD[0], (1 - MEAN[1]) / STD[1], (0.2 - MEAN[2]) / STD[2]]
    assert normalise(pixels).flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert normalise(video).dtype == torch.float32
    assert normalise(pixels, mean=(0, 0, 0), std=(1, 1, 1)).flatten().tolist() == (
        pytest.approx([0, 1, 0.2])
    )
    with pytest.raises(ValueError, match="normalised already"):
        normalise(normalise(video))
