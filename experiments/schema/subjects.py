"""The sections of a scenario that say what is learned, and from what: the model and the data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from experiments.schema.adapting import Adapters, BottleneckAdapters, Prompt
from experiments.schema.foundations import HfModel, ModuleModel, VqaData
from experiments.schema.quantities import Bytes, Flops
from experiments.schema.section import Section
from experiments.schema.sections import Count, File, Listed, Names, Share, by


def as_tuple(value: Any) -> Any:
    """A list from YAML as the tuple that strict validation asks for."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, such as [128], got {value!r}")
    return tuple(value)


MODALITIES = ("handwriting", "clickstream", "record")


class Partition(Section):
    """How the students' data differs from classroom to classroom: labels by Dirichlet(alpha), or not at all."""

    kind: Literal["dirichlet", "iid"] = "dirichlet"
    alpha: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _alpha(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("kind", "dirichlet") != "dirichlet":
            return data
        return {"alpha": 0.5} | data

    @model_validator(mode="after")
    def _used(self) -> Partition:
        if self.kind == "iid" and self.alpha is not None:
            raise ValueError("alpha belongs to kind dirichlet; iid has none")
        return self


class CampusData(Section):
    """Real digits beside generated clickstreams and records; some students lack a modality or a task."""

    source: Literal["campus"] = "campus"
    partition: Partition = Partition()
    missing_modality: Share = 0.0
    missing_task: Share = 0.0
    public: Annotated[int, Field(ge=0)] = 300  # samples, for pre-training in the cloud
    test: Count = 360  # samples held out, of all classes


class DigitsData(Section):
    """Real handwritten digits, dealt to the leaves of any topology."""

    source: Literal["digits"] = "digits"
    partition: Partition = Partition()
    copies: Count = 1  # how often each training digit is dealt, for more clients than there are digits
    test: Annotated[int, Field(ge=20, lt=1797)] = 360  # samples held out, of all classes


class StarData(Section):
    """Project STAR: students in real classrooms of real schools, with scores in read and math."""

    source: Literal["star"] = "star"
    file: Annotated[File, Field(validate_default=True)] = "star.csv"
    grades: Annotated[
        Listed[Literal["K", "1", "2", "3"]],
        BeforeValidator(lambda v: [str(g) if type(g) is int else g for g in v] if isinstance(v, (list, tuple)) else v),
        Field(min_length=1),
    ] = ("K", "1")
    minimum: Annotated[int, Field(ge=2)] = 8  # students of a class that takes part
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.25


class RecordedData(Section):
    """No data: accuracies that somebody else recorded, a CSV with columns run, epoch, task and acc_mean (percent).

    *mended*: those of its column acc_mean_if_offgrid_shifted_back. Only beside a model given by its footprint.
    """

    source: Literal["recorded"]
    file: File
    run: Annotated[str, Field(min_length=1)]
    mended: bool = False


class Trunk(Section):
    """The transformer that all tasks share; frozen: as pre-training left it."""

    layers: Count = 2
    heads: Count = 4
    frozen: bool = False


class M3TModel(Section):
    """The multi-modal multi-task model."""

    kind: Literal["m3t"] = "m3t"
    width: Count = 64
    trunk: Trunk = Trunk()
    adapters: Adapters | None = BottleneckAdapters()
    prompt: Prompt | None = None
    offsets: Names = ()
    tasks: Annotated[Names, Field(min_length=1)] = ("answer", "engagement", "outcome")

    @model_validator(mode="after")
    def _fits(self) -> M3TModel:
        if self.width % self.trunk.heads or self.width == self.trunk.heads:
            raise ValueError(f"width must be a multiple of trunk.heads, got {self.width} and {self.trunk.heads}")
        for key, part in (("adapters", self.adapters), ("prompt", self.prompt)):
            if part and (part.last or 0) > self.trunk.layers:
                raise ValueError(f"{key}.last is {part.last}, but the trunk has {self.trunk.layers} layers")
        return self

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order of ``models.M3T``."""
        return (
            *(f"encoder.{m}" for m in MODALITIES),
            "trunk",
            *(["prompt"] if self.prompt else []),
            *(self.adapters.modules if self.adapters else ()),
            *(f"head.{t}" for t in self.tasks),
            *(f"offset.{t}" for t in self.offsets),
            *(f"decoder.{m}" for m in MODALITIES),
        )


class LinearModel(Section):
    """A linear model per task, with offsets that tiers own: mixed effects as a federation."""

    kind: Literal["linear"] = "linear"
    tasks: Annotated[Names, Field(min_length=1)] = ("read", "math")
    offsets: Names = ()

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order of ``models.LinearModel``."""
        return (*(f"head.{t}" for t in self.tasks), *(f"offset.{t}" for t in self.offsets))


class MlpModel(Section):
    """A perceptron: layers of so many hidden units, and a head per task."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Count, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (128,)
    tasks: Annotated[Names, Field(min_length=1)] = ("digit",)

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order of ``models.MLP``."""
        return ("encoder.image", *(f"head.{t}" for t in self.tasks))


class Footprint(Section):
    """What a module costs: bytes when it is sent; and what one local training of a device spends on it.

    FLOPs, bytes moved through memory, operations started, and the memory that it takes at the peak. *merge*: FLOPs to
    merge one copy; unless given, one addition for every four bytes.
    """

    bytes: Annotated[Bytes, Field(le=1e18)]
    flops: Annotated[Flops, Field(le=1e30)] = 0.0
    moved: Annotated[Bytes, Field(le=1e30)] = 0.0
    launches: Annotated[int, Field(ge=0, le=10**15)] = 0
    memory: Bytes = 0.0
    merge: Flops | None = None


class FootprintModel(Section):
    """No model, only what each module costs."""

    footprint: Annotated[dict[str, Footprint], Field(min_length=1)]

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, as given."""
        return tuple(self.footprint)


def _model_tag(value: Any) -> str | None:
    if isinstance(value, FootprintModel) or (isinstance(value, dict) and "footprint" in value):
        return "=footprint"
    kind = value.get("kind", "m3t") if isinstance(value, dict) else getattr(value, "kind", None)
    return None if kind is None else f"=kind:{kind}"


Data = Annotated[
    Annotated[CampusData, Tag("=source:campus")]
    | Annotated[DigitsData, Tag("=source:digits")]
    | Annotated[StarData, Tag("=source:star")]
    | Annotated[VqaData, Tag("=source:vqa")]
    | Annotated[RecordedData, Tag("=source:recorded")],
    by("source", "campus"),
]
Model = Annotated[
    Annotated[M3TModel, Tag("=kind:m3t")]
    | Annotated[LinearModel, Tag("=kind:linear")]
    | Annotated[MlpModel, Tag("=kind:mlp")]
    | Annotated[HfModel, Tag("=kind:hf")]
    | Annotated[ModuleModel, Tag("=kind:module")]
    | Annotated[FootprintModel, Tag("=footprint")],
    Discriminator(_model_tag),
]
