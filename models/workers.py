"""What a worker process does: unpack jobs, run them as one process would, pack what came out.

Importing this loads no torch, so that a fresh process sets up its arithmetic before torch's first operation.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.engines import Inline
    from models.parcels import Parcel

ARITHMETIC = "MKL_CBWR"  # the variable that fixes the order of MKL's sums; read at the first operation only
_ALONE = threading.Lock()  # a cluster's worker may have several threads; its cache and chooser are not made for two


class WorkerError(RuntimeError):
    """The worker processes cannot do what they are asked to."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of part *number*: a parcel of results, or the exception that stopped it; and who did it."""

    number: int
    parcel: Parcel
    error: Exception | None
    traceback: str  # of the exception
    worker: str
    report: dict[str, Any]


def end_with(parent: int) -> None:
    """From now on this process, a child of *parent*, ends when that has ended, even by a signal."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work(number: int, engine: Parcel, task: Parcel, arithmetic: str | None) -> Done:
    """Run part *number*, (name of an engine's method, its arguments), with the process's own *engine*: (run, maker)."""
    me = f"{socket.gethostname()}:{os.getpid()}"
    with _ALONE:
        _same_arithmetic(arithmetic, me)
        from models.parcels import pack, unpack

        try:
            here = _engine(engine.tobytes())
            kind, *arguments = unpack(task)
            results = {"train_all": _train_all, "predict": _predict}[kind](here, *arguments)
            return Done(number, pack(results), None, "", me, here.report())
        except Exception as error:
            told = "".join(traceback.format_tb(error.__traceback__))
            return Done(number, pack(None), _portable(error), told, me, {})


def _train_all(here: Inline, model: Any, jobs: Any, recipe: Any) -> list[dict[str, Any]]:
    """Of each job only the weights that it changed."""
    results = here.train_all(model, jobs, recipe)
    return [
        {key: value for key, value in result.items() if value is not job.tensors.get(key)}
        for job, result in zip(jobs, results, strict=True)
    ]


def _predict(here: Inline, model: Any, jobs: Any, trainable: Any) -> list[dict[str, Any]]:
    return here.predict(model, jobs, trainable)


def _same_arithmetic(wanted: str | None, me: str) -> None:
    """One torch thread, and MKL's sums in the order of the main process; raises RuntimeError where it is too late."""
    import sys

    if os.environ.get(ARITHMETIC) != wanted:
        if "torch" in sys.modules:
            given = os.environ.get(ARITHMETIC, "nothing")
            raise RuntimeError(
                f"worker {me} runs with {ARITHMETIC}={given}, the main process with {wanted or 'nothing'}: start the "
                f"cluster's workers with the same, or their results differ in the last bits"
            )
        os.environ.pop(ARITHMETIC, None)
        if wanted is not None:
            os.environ[ARITHMETIC] = wanted
    import torch

    torch.set_num_threads(1)


@lru_cache(maxsize=1)
def _engine(engine: bytes) -> Inline:
    """This process's engine; that of an earlier run is forgotten."""
    import numpy as np

    from models.parcels import unpack

    _, make = unpack(np.frombuffer(engine, np.uint8))
    made: Inline = make()
    return made


def _portable(error: Exception) -> Exception:
    """*error*, or what it says as a RuntimeError where it cannot travel."""
    from models.parcels import pack, unpack

    try:
        unpack(pack(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
