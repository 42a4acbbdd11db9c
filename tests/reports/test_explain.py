"""The clips of a report are telling ones, and moving regions come with pictures of their own."""

import re
from dataclasses import asdict

import pytest
import torch
from torch import nn

from interlace.data.digits.datasets import video_options
from interlace.data.digits.images import load_digits
from interlace.data.digits.syncmnist import SyncMNIST
from interlace.evaluation.evaluate import evaluate
from interlace.models.registry import create_model
from interlace.models.weights import save_weights
from interlace.reports.digits import HeldOutDigits, choose_clips
from interlace.reports.run import write_page
from moving_regions import moving_trace


class Oracle(nn.Module):
    """Knows the labels of some videos, and looks where the digits are."""

    def __init__(self, videos, right):
        super().__init__()
        self.videos, self.right = videos, right
        everything = videos.batch(range(len(videos)))
        self.index = {video.numpy().tobytes(): n for n, video in enumerate(everything.video)}
        self.labels, self.boxes = everything.label, everything.boxes

    def forward(self, video, *, return_trace=False):
        found = [self.index[one.numpy().tobytes()] for one in video]
        said = torch.tensor(
            [(int(self.labels[n]) + (n not in self.right)) % self.videos.num_classes for n in found]
        )
        logits = 5.0 * nn.functional.one_hot(said, self.videos.num_classes)
        return (logits, moving_trace(self.boxes[found[0]])) if return_trace else logits


@pytest.fixture(scope="module")
def videos():
    return SyncMNIST(
        load_digits("embedded", train=False), size=24, split="test", classes=5, num_frames=3,
        canvas=50, frame=24, no_pair=0.4,
    )  # fmt: skip


def test_chosen_clips_have_pairs_and_alternate(videos):
    pairs = videos.batch(range(24)).synchronous.any(1).tolist()
    moving = [n for n in range(24) if pairs[n]]
    still = [n for n in range(24) if not pairs[n]]
    assert len(moving) >= 8
    assert still
    right = set(moving[1::2])
    wrong = [n for n in moving if n not in right]
    model = Oracle(videos, right | set(still))
    chosen = choose_clips(model, videos, 6)
    first_right, first_wrong = sorted(right)[:3], wrong[:3]
    assert chosen == [n for both in zip(first_right, first_wrong, strict=True) for n in both]
    assert choose_clips(model, videos, 6) == chosen
    assert chosen == choose_clips(model, videos, 24)[:6]
    assert sorted(choose_clips(model, videos, 100)) == list(range(24))
    assert choose_clips(model, videos, 24)[-len(still) :] == still
    assert choose_clips(Oracle(videos, range(24)), videos, 3) == moving[:3]  # nothing is wrong
    assert choose_clips(model, videos, 0) == []
    early = choose_clips(model, videos, 2, search=10)
    assert max(early) < 10


def test_the_report_of_moving_regions_has_films_and_figures(videos, tmp_path):
    model = Oracle(videos, set(range(0, 24, 2)))
    card = {"model": "rstg_all_temp_small", "num_classes": videos.num_classes}
    card |= {"data": asdict(video_options("SyncMNIST")(digits="embedded", classes=5, test_size=24))}
    network = create_model(card["model"], num_classes=videos.num_classes)
    trained = HeldOutDigits(save_weights(network, tmp_path / "any.safetensors", card=card))
    trained.model, trained.videos = model, videos
    result = evaluate(model, [videos.batch(range(24))], videos.num_classes)
    page = write_page(trained, tmp_path / "report.html", result, clips=2)
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    kinds = ("regions_in_motion.gif", "regions_in_motion.mp4", "regions_on_the_frames.png",
             "paths_of_the_nodes.png", "sizes_of_the_regions.png", "kernels.png")  # fmt: skip
    assert names == {f"clip_{n}_{kind}" for n in (0, 1) for kind in kinds}
    html = page.read_text()
    assert html.count("data:image/gif;base64,") == 4
    assert f"{result.top1:.1%}" in html
    assert html.count("<td>digit ") == 18  # nine nodes sit on digits, in each of two clips
    assert re.findall(r"This is video (\d+) of the test split", html) == [
        str(n) for n in choose_clips(model, videos, 2)
    ]
