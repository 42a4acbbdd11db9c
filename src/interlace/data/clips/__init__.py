"""Data sets of labelled clips: what is in them, what a model is shown of them."""

from interlace.data.clips.clip_list import ClipList, Item
from interlace.data.clips.dataset import Clip, TestViews, TrainingClips
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.opening import open_clips, open_unlabelled
from interlace.data.clips.order import Order, in_turn
from interlace.data.clips.shape import ClipShape
from interlace.data.clips.split import read_list, split_clips, write_list

__all__ = [
    "Clip",
    "ClipList",
    "ClipShape",
    "Item",
    "Order",
    "TestViews",
    "TrainingClips",
    "clip_loader",
    "in_turn",
    "open_clips",
    "open_unlabelled",
    "read_list",
    "split_clips",
    "write_list",
]
