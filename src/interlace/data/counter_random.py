"""Random numbers as a pure function of (seed, stream, index, position): no state, any device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15


def _signed(number: int) -> int:
    """The int64 with the same 64 bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(state: Tensor) -> Tensor:
    """SplitMix64's output function, in int64 arithmetic that wraps alike on CPU and CUDA."""
    state = (state ^ (state >> 30 & (1 << 34) - 1)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> 27 & (1 << 37) - 1)) * _signed(0x94D049BB133111EB)
    return state ^ (state >> 31 & (1 << 33) - 1)


@lru_cache(maxsize=256)  # asked for again and again, and slower than what follows
def stream_key(seed: int, stream: int) -> int:
    """One 64-bit key for a (seed, stream); different ones give unrelated numbers.

    Args:
        seed: any integer.
        stream: number of the stream, from 0.
    """
    key = _mix(torch.tensor(_signed(seed))) + _signed((stream + 1) * _GAMMA)
    return int(_mix(key))


def draw(key: int, indices: Tensor, count: int) -> Tensor:
    """The first `count` numbers of the sequence that belongs to each index.

    Each sequence is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
    Generators, 2014) started at a hash of (key, index); the upper 32 bits of its outputs.

    Args:
        key: from `stream_key`.
        indices: int64 (B,).
        count: numbers per index.

    Returns:
        int64 (B, count), each uniform in [0, 2**32), on the device of `indices`.
    """
    start = _mix(indices * _signed(_GAMMA) + key)
    position = torch.arange(1, count + 1, device=indices.device)
    state = start[:, None] + position * _signed(_GAMMA)
    return _mix(state) >> 32 & (1 << 32) - 1


def below(bits: Tensor, bound: int | Tensor) -> Tensor:
    """Whole numbers in [0, bound): floor(bits * bound / 2**32).

    Nothing is rejected, so one draw is one number; a value's probability is off by less than
    2**-32.

    Args:
        bits: from `draw`.
        bound: int or int64 tensor that broadcasts with `bits`, 1 to 2**31.
    """
    return bits * bound >> 32


def chance(bits: Tensor, probability: float) -> Tensor:
    """True with the given probability, to 2**-32."""
    return bits < round(probability * (1 << 32))
