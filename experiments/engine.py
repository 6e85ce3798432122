"""From a scenario to who computes it: the engine of its learner."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from uuid import uuid4

import joblib

from experiments.scenario import Scenario
from experiments.schema.computing import DeviceSpec, EngineSpec
from models.devices import Device, best
from models.engines import Cache, Engine, Inline
from models.parallel import Auto, Joblib
from models.pools import Dask, Loky, Pool, Ray


def engine_of(scenario: Scenario) -> Engine:
    """The scenario's engine. It starts processes when it first has a use for them; its ``close`` ends them.

    ValueError where the scenario wants a GPU and torch has none, or a cluster whose package is not installed.
    """
    spec, device, kept = scenario.engine, _device(scenario.device), scenario.cache
    several = spec.kind == "joblib" or (spec.kind == "auto" and device.kind == "cpu")
    workers = spec.workers or joblib.cpu_count() if several else 1
    folder = Path(tempfile.gettempdir()) / f"edufog-cache-{uuid4().hex}" if kept.disk else None
    make = partial(Inline, spec.chunk, device, Cache(kept.memory / workers, folder, kept.disk))
    if spec.kind == "joblib":
        return Joblib(_pool(spec), make)
    return Auto(make, partial(_pool, spec)) if several else make()


def _pool(spec: EngineSpec) -> Pool:
    if spec.backend == "loky":
        return Loky(spec.workers or joblib.cpu_count())
    return (Dask if spec.backend == "dask" else Ray)(spec.workers, spec.address)


def _device(spec: DeviceSpec) -> Device:
    return best() if spec.kind == "auto" else Device(spec.kind, spec.bf16, spec.deterministic)
