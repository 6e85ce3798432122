"""The sections of a scenario for foundation models, for a user's own network, and for questions about images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag, ValidationInfo, model_validator

from experiments.schema.documents import find_file
from experiments.schema.section import Section
from experiments.schema.sections import Count, Names, by


class LoraAdapters(Section):
    """Low-rank additions of this rank to queries and values of the last so many layers, or of all."""

    kind: Literal["lora"] = "lora"
    rank: Count = 4
    last: Count | None = None


class BottleneckAdapters(Section):
    """Bottlenecks of so many units behind the last so many layers, or behind all."""

    kind: Literal["bottleneck"] = "bottleneck"
    width: Count = 8
    last: Count | None = None


class PromptTokens(Section):
    """So many soft tokens among the words."""

    tokens: Count = 4


HfAdapters = Annotated[
    Annotated[LoraAdapters, Tag("=kind:lora")] | Annotated[BottleneckAdapters, Tag("=kind:bottleneck")], by("kind")
]


def _none(value: Any) -> Any:
    return None if value == "none" else value


class HfModel(Section):
    """A backbone of transformers with adapters, a prompt and heads."""

    kind: Literal["hf"] = "hf"
    backbone: Annotated[str, Field(min_length=1)]  # a folder, or a name on the hub
    revision: str = "main"  # of the name on the hub; a commit makes a study repeatable
    family: str = ""  # read from the backbone's config.json
    adapters: Annotated[HfAdapters | None, BeforeValidator(_none)] = None
    prompt: Annotated[PromptTokens | None, BeforeValidator(_none)] = None
    tasks: Annotated[Names, Field(min_length=1)] = ("answer",)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("backbone"), str) or not data["backbone"]:
            return data
        from models.nets.families import model_type  # nothing of models where only costs are asked for

        backbone = folder(data["backbone"], info, "config.json") or data["backbone"]
        kind = model_type(backbone, str(data.get("revision", "main")))
        if data.get("family", kind) != kind:
            raise ValueError(f"family: backbone {backbone} is a {kind!r}; leave family out")
        return {**data, "backbone": backbone, "family": kind}

    @model_validator(mode="after")
    def _fits(self) -> HfModel:
        from models.nets.families import family

        kind = family(self.family, self.backbone)
        if self.prompt and not kind.prompts:
            raise ValueError(f"prompt: a {self.family} model takes no embeddings, so no prompt; leave prompt out")
        return self

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in order."""
        from models.nets.families import FAMILIES

        kind = FAMILIES[self.family]
        return kind.names(adapters=self.adapters is not None, prompt=self.prompt is not None, tasks=self.tasks)


class ModuleModel(Section):
    """A user's own torch.nn.Module; *parameters* says which of them (patterns) belong to which module."""

    kind: Literal["module"] = "module"
    module: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    parameters: Annotated[dict[str, str], Field(min_length=1)]
    tasks: Annotated[Names, Field(min_length=1)] = ("answer",)
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]  # of the class
    lanes: Count = 1  # clients at a time under torch.func.vmap
    folder: str = ""  # where module is sought, behind what is installed: the scenario's own

    @model_validator(mode="before")
    @classmethod
    def _here(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict) or "folder" in data:
            return data
        return {**data, "folder": str((info.context or {}).get("beside", Path.cwd()).resolve())}

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules, in the order in which they are given."""
        return tuple(dict.fromkeys(self.parameters.values()))


class VqaData(Section):
    """Questions about images, with the answers of students: a folder of images and JSON lines."""

    source: Literal["vqa"] = "vqa"
    folder: str
    questions: str = "questions.jsonl"  # in the folder
    processor: str  # the folder of a tokenizer and, where images are looked at, an image processor
    size: Count | None = None  # pixels: make every image a square first
    length: Count | None = None  # tokens
    answers: Annotated[int, Field(ge=2)] | None = None  # the most frequent ones; None: all that are trained on
    others: Literal["drop", "class"] = "drop"
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.25

    @model_validator(mode="after")
    def _there(self, info: ValidationInfo) -> VqaData:
        for name, inside in (("folder", self.questions), ("processor", "tokenizer_config.json")):
            if folder(getattr(self, name), info, inside) is None:
                here = (info.context or {}).get("beside", Path.cwd())
                raise ValueError(
                    f"{name}: no {inside} in {getattr(self, name)!r}, sought beside the scenario ({here}) and under "
                    f"$EDUFOG_DATA"
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, data: Any, info: ValidationInfo) -> Any:
        """Full paths of what lies beside the scenario, so that the resolved scenario runs from anywhere."""
        if not isinstance(data, dict):
            return data
        inside = {"folder": data.get("questions", "questions.jsonl"), "processor": "tokenizer_config.json"}
        given = {name: data[name] for name in inside if isinstance(data.get(name), str)}
        return data | {name: folder(value, info, str(inside[name])) or value for name, value in given.items()}


def folder(name: str, info: ValidationInfo, inside: str) -> str | None:
    """The folder *name* that holds the file *inside*, sought where files are; None where there is none."""
    beside = (info.context or {}).get("beside", Path.cwd())
    try:
        found = find_file(f"{name}/{inside}", beside)
    except ValueError:
        return None
    here = beside / name
    return str(here.resolve()) if (here / inside).is_file() and found == (here / inside).resolve() else name
