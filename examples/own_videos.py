"""A data set of synthetic videos of one's own, and a model that learns it in half a minute.

Which way does a digit slide? In this folder the class is an option of the command, as is what it
takes: `interlace train --data own_videos:Sliding --data.speed 2 --data.digits embedded
--recipe.pretrain_frames 0` trains the default model on it.

python examples/own_videos.py
"""

import tempfile

import torch

from interlace.data.counter_random import below, draw, stream_key
from interlace.data.digits.datasets import DATASETS
from interlace.data.digits.moving import VideoBatch
from interlace.data.digits.render import render
from interlace.training import train

WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # columns, rows


@DATASETS.register("Sliding", "which way a digit slides")
class Sliding:
    num_classes, num_digits, classes, num_frames, frame = len(WAYS), 1, 10, 6, 32

    def __init__(self, digits, *, split: str, size: int, seed: int = 0, speed: int = 3):
        self.digits, self.split, self.size, self.speed = digits, split, size, speed
        self.key = stream_key(seed, ["train", "validation", "test"].index(split))

    def __len__(self):
        return self.size

    def class_name(self, label):
        return list(WAYS)[label]

    def batch(self, indices, *, device="cpu"):  # video i is a function of i alone
        way, which = draw(self.key, torch.as_tensor(indices), 2).T
        label, which = below(way, len(WAYS)), below(which, len(self.digits.labels))
        path = self.speed * (torch.arange(self.num_frames) - self.num_frames // 2)  # (T,)
        places = 16 + path[:, None, None] * torch.tensor(list(WAYS.values()))[label][:, None, None]
        video = render(self.digits.images, which[:, None], places, canvas=60, frame=self.frame)
        boxes = torch.cat([(places + 14) / 60, torch.full(places.shape, 14 / 60)], dim=-1)
        classes, moves = self.digits.labels[which][:, None], torch.ones(len(label), 1) > 0
        return VideoBatch(*(x.to(device) for x in (video, label, boxes, classes, moves)))


def main(folder: str, videos: int = 4800) -> str:
    return train(
        {"name": "Sliding", "digits": "embedded", "validation_size": 200},
        model="rstg_demo",
        recipe={"videos": videos, "pretrain_frames": 0},
        trainer={"out": folder},
    )


if __name__ == "__main__":
    main(tempfile.mkdtemp())  # says how many of the videos are right; a guess is in 25 %
