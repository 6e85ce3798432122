"""Jobs and results on their way between processes: one block of bytes, every tensor in it once.

A tensor travels as the bytes of its own values, whatever storage it is a view of, and arrives in memory of its own. The
parcels go between processes of one run and are never read from a file.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import cloudpickle
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Parcel = NDArray[np.uint8]  # an array, and not bytes: Dask sends a large one apart from its task graph


def pack(value: Any) -> Parcel:
    """*value* in bytes; what occurs in it twice, as the same object, is there once."""
    out = io.BytesIO()
    _Packer(out, protocol=5).dump(value)
    return np.frombuffer(out.getbuffer(), np.uint8)


def unpack(parcel: Parcel) -> Any:
    """What was packed."""
    return pickle.loads(parcel.data)


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Knows classes and functions of the user's script, and tensors."""

    def reducer_override(self, obj: Any) -> Any:
        """How to make *obj* again; the rest is left to cloudpickle."""
        if type(obj) is Tensor and obj.layout is torch.strided and obj.device.type in ("cpu", "cuda"):
            return _tensor, (_values(obj), obj.dtype, tuple(obj.shape))
        if type(obj) is torch.nn.Parameter:
            return torch.nn.Parameter, (obj.detach(), obj.requires_grad)
        return super().reducer_override(obj)


def _values(tensor: Tensor) -> pickle.PickleBuffer:
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return pickle.PickleBuffer(flat.view(torch.uint8).numpy().data)


def _tensor(values: bytearray, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not len(values):
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(values, dtype=dtype).reshape(shape).clone()  # to memory that is aligned as torch's own is
