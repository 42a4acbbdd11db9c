"""SyncMNIST and MultiSyncMNIST: videos of moving digits, made when asked for."""

from interlace.data.digits.images import Digits, load_digits

__all__ = ["Digits", "load_digits"]
