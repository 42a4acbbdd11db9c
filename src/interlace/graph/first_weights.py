"""The first values of a graph's weights, where torch's own are too small to learn fast."""

from __future__ import annotations

import torch
from torch import nn

from interlace.graph.position import KernelPositions
from interlace.graph.space_stage import DotGather


@torch.no_grad()
def he_weights(module: nn.Module) -> None:
    """Gives a graph first weights that keep the size of what passes through.

    Linear layers those of He et al. (2015), but queries and keys torch's smaller ones, so that
    attention starts even, and codes of kernels their waves; recurrent cells orthogonal hidden
    weights (Saxe et al., 2014), and an LSTM's forget gates a bias of 1 (Jozefowicz et al., 2015),
    so that they remember at first.

    Args:
        module: changed in place; all other linear layers and cells in it.
    """
    kept = set()
    for part in module.modules():
        if isinstance(part, DotGather):
            kept |= {id(part.query), id(part.key)}
        elif isinstance(part, KernelPositions):
            kept.add(id(part.linear))
    for part in module.modules():
        if isinstance(part, nn.Linear) and id(part) not in kept:
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LSTM | nn.GRU):
            _recurrent(part)


def _recurrent(cell: nn.LSTM | nn.GRU) -> None:
    for name, value in cell.named_parameters():
        if name.startswith("weight_hh"):
            for gate in value.split(cell.hidden_size):
                nn.init.orthogonal_(gate)
        elif name.startswith("bias"):
            nn.init.zeros_(value)
            if isinstance(cell, nn.LSTM) and name.startswith("bias_ih"):
                value[cell.hidden_size : 2 * cell.hidden_size] = 1.0  # input, forget, cell, output
