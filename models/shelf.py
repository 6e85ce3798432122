"""A store of tensors by key: in memory up to a limit, then in a folder up to another, least recently used out first."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SUFFIX, PART = ".prefix.npz", ".prefix.part"
# what a file that is cut short, damaged or not one of these makes its reader raise
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)


class Shelf:
    """What does not fit into *memory_bytes* goes to *folder*, if there is one, up to *disk_bytes* of everybody's files.

    Several processes may share a folder: files are written whole or not at all and carry their key; one that cannot be
    read, or is another's, counts as missing.
    """

    def __init__(self, memory_bytes: float, folder: Path | None = None, disk_bytes: float = 0) -> None:
        self.memory_bytes, self.folder, self.disk_bytes = memory_bytes, folder, disk_bytes
        self.nbytes, self.spilled_bytes, self.trouble = 0, 0, ""
        self._entries: OrderedDict[str, Mapping[str, Tensor]] = OrderedDict()

    def get(self, key: str) -> Mapping[str, Tensor] | None:
        """What is kept under *key*, if anything is."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        tensors = self._read(key)
        if tensors is not None:
            self.put(key, tensors)
        return tensors

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep *tensors*, which nobody may change from now on."""
        self.nbytes += size(tensors) - size(self._entries.pop(key, {}))
        self._entries[key] = tensors
        while self.nbytes > self.memory_bytes:
            oldest, out = self._entries.popitem(last=False)
            self.nbytes -= size(out)
            self._spill(oldest, out)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}{SUFFIX}"

    def _read(self, key: str) -> dict[str, Tensor] | None:
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            tensors = read(path, key)
            os.utime(path)  # used just now
        except FileNotFoundError:
            return None
        except UNREADABLE:
            path.unlink(missing_ok=True)
            return None
        return tensors

    def _spill(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        if self.folder is None or size(tensors) > self.disk_bytes:
            return
        path = self._path(key)
        try:
            if path.exists():
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size(tensors))
            write(path, key, tensors)
            self.spilled_bytes += size(tensors)
        except OSError as error:  # a full disk costs time, not the run
            self.trouble = f"{self.folder}: {error.strerror or error}"

    def _make_room(self, nbytes: int) -> None:
        """Remove the files that were used longest ago; another process may be doing so, too."""
        assert self.folder is not None
        files = []
        for path in self.folder.iterdir():
            if path.name.endswith((SUFFIX, PART)):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                files.append((status.st_mtime_ns, path, status.st_size))
        total = nbytes + sum(length for _, _, length in files)
        for _, path, length in sorted(files):
            if total <= self.disk_bytes:
                return
            path.unlink(missing_ok=True)
            total -= length


def size(tensors: Mapping[str, Tensor]) -> int:
    """Their bytes."""
    return sum(t.numel() * t.element_size() for t in tensors.values())


def write(path: Path, key: str, tensors: Mapping[str, Tensor]) -> None:
    """One file with *tensors* and their *key*, there as a whole or not at all."""
    kinds = {name: (str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in tensors.items()}
    head = np.frombuffer(json.dumps({"key": key, "tensors": kinds}).encode(), np.uint8)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=PART, delete=False) as file:
        try:
            np.savez(file, head, *(raw(t) for t in tensors.values()))
            file.close()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read(path: Path, key: str) -> dict[str, Tensor]:
    """The tensors of a file; raises one of UNREADABLE if it is damaged (zip has a checksum) or has another key."""
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("not a file of several arrays")
        head = json.loads(arrays["arr_0"].tobytes())
        if head["key"] != key:
            raise ValueError("another key")
        out = {}
        for place, (name, (kind, shape)) in enumerate(head["tensors"].items(), 1):
            dtype = getattr(torch, kind)
            out[name] = torch.from_numpy(arrays[f"arr_{place}"]).view(dtype).reshape(shape)
    return out


def raw(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor of any type."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
