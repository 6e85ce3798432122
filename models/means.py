"""Weighted sums of many small tensors, in the order given, since a sum of floats sees the order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**20  # numbers laid side by side at a time, so that they stay in the processor's cache
SMALL = 16_384  # numbers of a tensor up to which that pays
FEW = 8  # tensors below which to lay them side by side takes longer than to add them
NUMPY = (torch.float32, torch.float64)


def weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``((0 + t0 w0) + t1 w1) + ...``, every product and every sum rounded by itself."""
    first = tensors[0]
    if len(tensors) < FEW or not 1 <= first.numel() <= SMALL or first.dtype not in NUMPY or first.device.type != "cpu":
        return _one_by_one(tensors, weights)
    scales = torch.tensor(weights, dtype=first.dtype).unsqueeze(1)
    twice = 2 if first.numel() == 1 else 1  # a single column would be added in the order of a tree, too
    total, count = torch.zeros(first.numel() * twice, dtype=first.dtype), BLOCK // first.numel()
    for start in range(0, len(tensors), count):
        rows = torch.stack(list(tensors[start : start + count])).view(-1, first.numel())
        rows = (rows if twice == 1 else rows.repeat(1, 2)).mul_(scales[start : start + count])
        # numpy adds whole rows one after the other; torch.sum would add in the order of a tree
        rows[0] += total
        total = torch.from_numpy(np.add.reduce(rows.numpy(), axis=0))
    return total[: first.numel()].clone().view(first.shape)


def _one_by_one(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    out = torch.zeros_like(tensors[0])
    for tensor, weight in zip(tensors, weights, strict=True):
        out += tensor * weight
    return out
