"""Where the tensors of a stack are while they are computed with: the processor, or a GPU through CUDA."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from models.choosing import Chooser
from models.data.samples import Samples
from models.model import Tensors, module
from models.training import Job

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS has one order of sums only with a fixed workspace


@dataclass(frozen=True, slots=True)
class Device:
    """*kind* is cpu or cuda; *bf16*: matrix products in bfloat16; *deterministic*: the same bits on the same card."""

    kind: str = "cpu"
    bf16: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("cpu", "cuda"):
            raise ValueError(f"device: expected cpu or cuda, got {self.kind!r}")
        if self.kind == "cuda" and not torch.cuda.is_available():
            why = "finds no GPU" if torch.backends.cuda.is_built() else "is built without CUDA"
            raise ValueError(f"device cuda: this torch ({torch.__version__}) {why}; use device: cpu or auto")
        if self.bf16 and self.kind != "cuda":
            raise ValueError("device: bf16 needs kind cuda; on the processor weights keep their own type")

    @property
    def torch(self) -> torch.device:
        """As torch calls it."""
        return torch.device(self.kind)

    def report(self) -> dict[str, Any]:
        """For the manifest: the card by its name."""
        if self.kind == "cpu":
            return {"device": "cpu"}
        options = {"bf16": self.bf16, "deterministic": self.deterministic}
        return {"device": torch.cuda.get_device_name(), **options}

    def chooser(self) -> Chooser:
        """Of a GPU, half of the memory that is free, and seconds until it has done what it was told."""
        if self.kind == "cpu":
            return Chooser()
        return Chooser(torch.cuda.mem_get_info()[0] // 2, _cuda_clock)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Computing on this device, as it is asked to; what was set before is set again afterwards."""
        before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        workspace = os.environ.get(WORKSPACE)
        if self.deterministic:
            os.environ.setdefault(WORKSPACE, ":4096:8")
            torch.use_deterministic_algorithms(True)
        try:
            with torch.autocast(self.kind, torch.bfloat16, enabled=self.bf16):
                yield
        finally:
            if self.deterministic:
                torch.use_deterministic_algorithms(before[0], warn_only=before[1])
                if workspace is None:
                    os.environ.pop(WORKSPACE, None)


CPU = Device()


def best() -> Device:
    """A GPU where torch has one, else the processor."""
    return Device("cuda" if torch.cuda.is_available() else "cpu")


def _cuda_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


class Mover:
    """Brings jobs to a device: each tensor once, and weights that do not train once as long as they are in use."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._frozen = WeakTensorKeyDictionary()

    def jobs(self, jobs: Sequence[Job], trainable: Collection[str]) -> list[Job]:
        """The same jobs there."""
        if self.device.kind == "cpu":
            return list(jobs)
        moved = self.pairs([(job.tensors, job.samples) for job in jobs], trainable)
        beside = [
            {name: {key: value.to(self.device.torch) for key, value in own.items()} for name, own in job.beside.items()}
            for job in jobs
        ]
        return [
            replace(job, tensors=t, samples=s, beside=b) for job, (t, s), b in zip(jobs, moved, beside, strict=True)
        ]

    def pairs(
        self, pairs: Sequence[tuple[Tensors, Samples]], trainable: Collection[str]
    ) -> list[tuple[Tensors, Samples]]:
        """The same (weights, samples) there."""
        if self.device.kind == "cpu":
            return list(pairs)
        known: dict[int, Tensor] = {}

        def sent(value: Tensor) -> Tensor:
            if id(value) not in known:
                known[id(value)] = value.to(self.device.torch)
            return known[id(value)]

        def frozen(value: Tensor) -> Tensor:
            there: Tensor | None = self._frozen.get(value)
            if there is None:
                there = self._frozen[value] = sent(value)
            return there

        def weights(tensors: Tensors) -> dict[str, Tensor]:
            return {key: (sent if module(key) in trainable else frozen)(value) for key, value in tensors.items()}

        def data(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: sent(value) for name, value in values.items()}

        return [(weights(tensors), Samples(data(s.inputs), data(s.targets))) for tensors, s in pairs]
