"""The sections of a scenario that say how this machine computes it. They change no table, only how soon it is there."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, model_validator

from experiments.schema.mistakes import nearest
from experiments.schema.quantities import Bytes
from experiments.schema.section import Section
from experiments.schema.sections import Count

Kind = Literal["auto", "inline", "joblib"]
Card = Literal["auto", "cpu", "cuda"]


def _short(kinds: Any, example: str) -> BeforeValidator:
    """Lets a mapping of nothing but its kind be written as that word."""

    def read(value: Any) -> Any:
        if isinstance(value, (dict, Section)):
            return value
        if value in get_args(kinds):
            return {"kind": value}
        known = list(get_args(kinds))
        hint = "; did you mean 'cuda'?" if value == "gpu" and "cuda" in known else nearest(str(value), known)
        raise ValueError(f"expected {', '.join(known)} or a mapping such as {example}, got {value!r}{hint}")

    return BeforeValidator(read)


class EngineSpec(Section):
    """Who trains: this process, or *workers* processes by joblib; auto: what is quicker. *chunk*: clients per stack."""

    kind: Kind = "auto"
    workers: Count | None = None  # None: one for each core
    backend: Literal["loky", "dask", "ray"] = "loky"
    address: str | None = None  # of a cluster; None: one is started on this machine
    chunk: Count | None = None  # None: as many as fit and pay

    @model_validator(mode="after")
    def _used(self) -> EngineSpec:
        if self.kind == "inline":
            for key in ("workers", "address"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} belongs to kind joblib; inline has one process")
            if self.backend != "loky":
                raise ValueError("backend belongs to kind joblib; inline has one process")
        if self.backend == "loky" and self.address is not None:
            raise ValueError("address belongs to backend dask or ray; loky's workers are on this machine")
        return self


class DeviceSpec(Section):
    """What tensors are computed on; auto: a GPU where torch has one. *deterministic*: the same bits on the same GPU."""

    kind: Card = "auto"
    bf16: bool = False
    deterministic: bool = False

    @model_validator(mode="after")
    def _used(self) -> DeviceSpec:
        for key in ("bf16", "deterministic"):
            if getattr(self, key) and self.kind != "cuda":
                raise ValueError(f"{key} belongs to kind cuda; got {self.kind}")
        return self


def _off(value: Any) -> Any:
    if isinstance(value, (dict, Section)):
        return value
    if value in ("off", False):
        return {"memory": 0.0, "disk": 0.0}
    raise ValueError(f"expected off or a mapping such as {{memory: 1 GB, disk: 4 GB}}, got {value!r}")


class CacheSpec(Section):
    """How much of what frozen encoders and layers put out is kept, over all processes; *disk*: what memory cannot."""

    memory: Bytes = 1e9
    disk: Bytes = 0.0


Engine = Annotated[EngineSpec, _short(Kind, "{kind: joblib, workers: 2}")]
Device = Annotated[DeviceSpec, _short(Card, "{kind: cuda, bf16: true}")]
Cache = Annotated[CacheSpec, BeforeValidator(_off)]
