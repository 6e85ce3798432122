"""What comes before the first trained operation, computed once per sample and kept.

The front of a model is cut off wherever it can be, whether what it makes of a client's samples is at hand or computed
anew: keeping it changes no bit of a result. It is computed in batches that depend on the client's own samples alone.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from models.data.samples import Samples
from models.model import Cut, Cuttable, Model, Tensors
from models.shelf import Shelf, raw
from models.stacks import Weights
from models.training import Job

WIDTH, STEP = 32, 8  # samples per batch; the last one is padded to a multiple of the second
FLOATS = 500_000  # numbers that leave the front at a time: more no longer fit near the processor

Pair = tuple[Tensors, Samples]


class Prefixes:
    """Outputs of frozen fronts, by weights, samples and depth, on a :class:`models.shelf.Shelf` of these limits."""

    def __init__(self, memory_bytes: float = 1e9, folder: Path | None = None, disk_bytes: float = 0) -> None:
        self.shelf = Shelf(memory_bytes, folder, disk_bytes)
        self.hits = self.misses = 0
        self._digests = WeakTensorKeyDictionary()
        self._whole: dict[str, None] = {}  # why nothing was cut, in the order in which it came up

    def shorten(
        self, model: Model, jobs: Sequence[Job], trainable: Collection[str], random: bool = False
    ) -> tuple[Model, list[Job]]:
        """The rest of *model*, and *jobs*, which all train these modules, on what the front makes of their samples.

        The shortened jobs hold the tensors that the rest may need, no others. The same model and jobs where nothing can
        be cut, or where the objective is *random*: it changes the samples before the front sees them.
        """
        cut = self._cut(model, trainable, random)
        if cut is None:
            return model, list(jobs)
        kept = self._kept(model, cut, [(job.tensors, job.samples) for job in jobs])
        pairs = zip(jobs, kept, strict=True)
        return cut.rest, [replace(job, tensors=_left(cut, job.tensors), samples=some) for job, some in pairs]

    def shorten_predictions(
        self, model: Model, jobs: Sequence[Pair], trainable: Collection[str]
    ) -> tuple[Model, list[Pair]]:
        """The same for (weights, samples) to predict."""
        cut = self._cut(model, trainable, False)
        if cut is None:
            return model, list(jobs)
        kept = self._kept(model, cut, jobs)
        return cut.rest, [(_left(cut, tensors), some) for (tensors, _), some in zip(jobs, kept, strict=True)]

    def report(self) -> dict[str, Any]:
        """Look-ups that found something and that did not, bytes in memory and written to disk, and what is amiss."""
        notes = {} if self.hits + self.misses else {"cache": "; ".join(self._whole) or "nothing was asked for"}
        if self.shelf.trouble:
            notes["cache_trouble"] = self.shelf.trouble
        return {
            "cache_hits": self.hits,
            "cache_misses": self.misses,
            "cache_bytes": self.shelf.nbytes,
            "cache_spilled_bytes": self.shelf.spilled_bytes,
            **notes,
        }

    def _cut(self, model: Model, trainable: Collection[str], random: bool) -> Cut | None:
        if random:
            self._whole["the objective hides parts of samples at random: nothing is kept"] = None
            return None
        if not isinstance(model, Cuttable):
            self._whole[f"{type(model).__name__} cannot be cut: nothing is kept"] = None
            return None
        cut = model.cut(trainable)
        if cut is None:
            self._whole["encoders train: nothing is kept"] = None
        return cut

    def _kept(self, model: Model, cut: Cut, jobs: Sequence[Pair]) -> list[Samples]:
        """What the front makes of each client's samples; who has the same weights and samples shares it."""
        read = [{k: t for k, t in tensors.items() if cut.reads(k, samples.inputs)} for tensors, samples in jobs]
        pairs = [(tensors, samples) for tensors, (_, samples) in zip(read, jobs, strict=True)]
        keys, found, missing = self._keys(cut, pairs), dict[str, Tensors](), dict[str, Pair]()
        for key, pair in zip(keys, pairs, strict=True):
            if key not in found and key not in missing:
                kept = self.shelf.get(key)
                if kept is None:
                    self.misses += 1
                    missing[key] = pair
                    continue
                found[key] = kept
            self.hits += 1
        for key, values in zip(missing, compute(model, cut, list(missing.values())), strict=True):
            found[key] = values
            self.shelf.put(key, values)
        return [Samples(found[key], samples.targets) for key, (_, samples) in zip(keys, jobs, strict=True)]

    def _keys(self, cut: Cut, pairs: Sequence[Pair]) -> list[str]:
        """A name of weights, samples and depth for each."""
        start, known = f"{cut.name}\n{_arithmetic()}", dict[tuple[tuple[str, int], ...], str]()

        def name(tensors: Tensors) -> str:
            same = tuple((key, id(value)) for key, value in tensors.items())
            if same not in known:
                known[same] = "".join(f"\n{key} {self._digest(tensors[key])}" for key in sorted(tensors))
            return known[same]

        texts = [f"{start}{name(weights)}\n{name(samples.inputs)}" for weights, samples in pairs]
        return [hashlib.blake2b(text.encode(), digest_size=20).hexdigest() for text in texts]

    def _digest(self, tensor: Tensor) -> str:
        """Of place, type, shape and values; computed again when the tensor has been changed in place."""
        version = tensor._version
        known = self._digests.get(tensor)
        if known is None or known[0] != version:
            digest = hashlib.blake2b(f"{tensor.device.type} {tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(raw(tensor).data)
            known = self._digests[tensor] = version, digest.hexdigest()
        return str(known[1])


def _left(cut: Cut, tensors: Tensors) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if cut.remains(key)}


def _arithmetic() -> str:
    """What else shapes a sum's last bits: kept files may come from another machine or another torch."""
    cpu = torch.backends.cpu.get_cpu_capability()
    rounded = [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")]
    return f"{torch.__version__} {cpu} {os.environ.get('MKL_CBWR')} {rounded}"


def compute(model: Model, cut: Cut, jobs: Sequence[Pair]) -> list[Tensors]:
    """The front's output for each (weights, samples), those of one width stacked."""
    pieces = [(i, *piece) for i, (_, samples) in enumerate(jobs) for piece in batches(len(samples))]
    out: list[dict[str, list[Tensor]]] = [{m: [] for m in cut.rest.shapes} for _ in jobs]
    numbers = sum(math.prod(shape) for shape in cut.rest.shapes.values())
    for width in sorted({width for _, _, _, width in pieces}, reverse=True):  # a client's full batches come first
        alike = [(i, start, rows) for i, start, rows, w in pieces if w == width]
        chunk = max(1, FLOATS // (width * numbers))
        for first in range(0, len(alike), chunk):
            some = alike[first : first + chunk]
            values = _front(model, cut, jobs, [(i, start, rows, width) for i, start, rows in some])
            for place, (i, _, rows) in enumerate(some):
                for m, value in values.items():
                    out[i][m].append(value[place, :rows])
    return [_joined(parts, cut.rest.shapes, pair) for parts, pair in zip(out, jobs, strict=True)]


def batches(n: int) -> Iterator[tuple[int, int, int]]:
    """First sample, number of samples and padded width of each batch of *n* samples; full ones come first."""
    for start in range(0, n, WIDTH):
        rows = min(WIDTH, n - start)
        yield start, rows, -(-rows // STEP) * STEP


def _front(
    model: Model, cut: Cut, jobs: Sequence[Pair], pieces: Sequence[tuple[int, int, int, int]]
) -> Mapping[str, Tensor]:
    """What leaves the front for some batches, ``[batches, width, *shape]``, padded with copies of their first rows."""
    inputs = []
    for i, start, rows, width in pieces:
        index = torch.full((width,), start)
        index[:rows] = torch.arange(start, start + rows)
        inputs.append({m: x[index] for m, x in jobs[i][1].inputs.items()})
    stacked = Weights.of([jobs[i][0] for i, *_ in pieces]).first(len(pieces))
    held = {m: [x[m] for x in inputs if m in x] for m in model.shapes}
    with torch.no_grad():
        return cut.front(stacked.params, {m: torch.stack(x) for m, x in held.items() if x}, stacked.stack)


def _joined(parts: Mapping[str, Sequence[Tensor]], shapes: Mapping[str, tuple[int, ...]], pair: Pair) -> Tensors:
    """A client's batches one after the other, in memory of their own."""
    if not len(pair[1]):
        some = next(iter(pair[0].values()))
        return {m: some.new_zeros(0, *shape) for m, shape in shapes.items()}
    return {m: torch.cat(list(values)) for m, values in parts.items()}
