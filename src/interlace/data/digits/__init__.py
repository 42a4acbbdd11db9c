"""SyncMNIST and MultiSyncMNIST: videos of moving digits, made when asked for."""

from interlace.data.digits.datasets import DATASETS
from interlace.data.digits.images import Digits, load_digits
from interlace.data.digits.moving import MovingDigits, VideoBatch
from interlace.data.digits.syncmnist import MultiSyncMNIST, SyncMNIST

__all__ = [
    "DATASETS",
    "Digits",
    "MovingDigits",
    "MultiSyncMNIST",
    "SyncMNIST",
    "VideoBatch",
    "load_digits",
]
