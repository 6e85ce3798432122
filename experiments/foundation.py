"""Foundation models, a user's own network, and questions about images, as a scenario asks for them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from experiments.schema.documents import find_file
from experiments.schema.foundations import BottleneckAdapters, HfModel, LoraAdapters, ModuleModel, VqaData
from experiments.schema.mistakes import Problem, ScenarioError, nearest
from models.data.samples import Study
from models.data.streams import stream
from models.nets.families import FAMILIES
from models.nets.torch_module import TorchModel, seeded


def vqa(data: VqaData, model: Any, leaves: Sequence[str], seed: int) -> Study:
    """The study of a folder of questions; without images where the model reads only."""
    from models.data.vqa import vqa_study

    reads_only = isinstance(model, HfModel) and "image" not in FAMILIES[model.family].modalities
    try:
        return vqa_study(
            _folder(data.folder, data.questions),
            data.questions,
            _folder(data.processor, "tokenizer_config.json"),
            leaves,
            seed=seed,
            images=not reads_only,
            size=data.size,
            length=data.length,
            answers=data.answers,
            others=data.others,
            holdout=data.holdout,
        )
    except ValueError as error:
        _fail("data", error)


def _folder(name: str, inside: str) -> Path:
    """The folder that holds *inside*."""
    found = Path(name) if (Path(name) / inside).is_file() else find_file(f"{name}/{inside}", Path())
    return found if found.is_dir() else found.parents[len(Path(inside).parts) - 1]


def foundation(spec: HfModel, study: Study, seed: int) -> TorchModel:
    """The scenario's backbone, with what trains beside it."""
    try:
        return _foundation(spec, study, seed)
    except ValueError as error:
        _fail("model", error)


def _foundation(spec: HfModel, study: Study, seed: int) -> TorchModel:
    from models.nets.foundation import Bottlenecks, Foundation, Lora
    from models.nets.frozen import FoundationModel
    from models.nets.hub import load

    kind, given = FAMILIES[spec.family], spec.adapters
    if lacking := [m for m in kind.modalities if m not in study.modalities]:
        raise ValueError(
            f"a {spec.family} needs {lacking[0]}, and the data have none: let data.processor be a folder with an "
            f"image processor, or give data.size"
        )
    adapters: Lora | Bottlenecks | None = None
    if isinstance(given, LoraAdapters):
        adapters = Lora(given.rank, given.last)
    elif isinstance(given, BottleneckAdapters):
        adapters = Bottlenecks(given.width, given.last)
    prompt = spec.prompt.tokens if spec.prompt else 0

    def make() -> Foundation:
        backbone = load(spec.backbone, spec.revision)
        _readable(backbone, study, prompt)
        return Foundation(backbone, kind, study.tasks, adapters, prompt)

    network = seeded(make, _seed(seed))
    assert isinstance(network, Foundation)
    shapes = {m: study.modalities[m] for m in kind.modalities}
    own = network.names()
    names = {p: own[p] for module in spec.modules for p in own if own[p] == module}  # in the scenario's order
    return FoundationModel(network, shapes, study.tasks, names, _dtypes(study))


def _readable(backbone: Any, study: Study, prompt: int) -> None:
    """Refuse texts that are longer than the backbone reads, or in tokens that it does not know."""
    config = getattr(backbone.config, "text_config", backbone.config)
    (length,) = study.modalities["text"]
    most = config.max_position_embeddings
    if length + prompt > most:
        raise ValueError(
            f"texts of {length} tokens and a prompt of {prompt} are more than the {most} that the backbone reads; "
            f"give data.length: {most - prompt}"
        )
    top = max(int(samples.inputs["text"].max()) for c in study.clients.values() for samples in (c.train, c.test))
    if top >= config.vocab_size:
        raise ValueError(
            f"the texts have token number {top}, and the backbone knows {config.vocab_size}; let data.processor be "
            f"the folder of the tokenizer that belongs to it"
        )


def _encoders(spec: ModuleModel, study: Study) -> None:
    """Refuse an encoder of what the data do not have."""
    for name in spec.modules:
        kind, _, modality = name.partition(".")
        if kind == "encoder" and modality not in study.modalities:
            there = ", ".join(study.modalities)
            what = f"{name}: the data have no {modality}, but {there}{nearest(modality, study.modalities)}"
            _fail("model.parameters", what)


def own_module(spec: ModuleModel, study: Study, seed: int) -> TorchModel:
    """The scenario's own network."""
    _encoders(spec, study)
    kind = network_class(spec)
    try:
        network = seeded(lambda: kind(**spec.arguments), _seed(seed))
    except Exception as error:
        arguments = ", ".join(f"{name}={value!r}" for name, value in spec.arguments.items())
        _fail("model.arguments", f"{spec.module}({arguments}) failed: {type(error).__name__}: {error}", error)
    try:
        return TorchModel(
            network, study.modalities, study.tasks, spec.parameters, _dtypes(study), spec.lanes, spec.folder
        )
    except ValueError as error:
        place = "model.parameters" if str(error).startswith("parameters: ") else "model.module"
        _fail(place, str(error).removeprefix("parameters: "), error)


def network_class(spec: ModuleModel) -> type[nn.Module]:
    """The class that ``file:Class`` names, in the scenario's folder or installed; ScenarioError where there is none."""
    name, _, inner = spec.module.partition(":")
    if spec.folder not in sys.path:
        sys.path.append(spec.folder)  # never before what is installed
    importlib.invalidate_caches()
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = f"there is no {name}.py in {spec.folder}, nor an installed module {name}"
        _fail("model.module", missing if name.startswith(str(error.name)) else f"{name} needs {error.name}", error)
    except Exception as error:
        _fail("model.module", f"{name} cannot be imported: {type(error).__name__}: {error}", error)
    mine = Path(spec.folder, *name.split(".")).with_suffix(".py")
    theirs = Path(getattr(found, "__file__", None) or "")
    if mine.is_file() and theirs.resolve() != mine.resolve():
        _fail("model.module", f"{name} is {theirs}, which comes before {mine}; give your file another name")
    kind = getattr(found, inner, None)
    if kind is None:
        known = [n for n, value in vars(found).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        _fail("model.module", f"{name} has no class {inner!r}{nearest(inner, known) or '; it has ' + ', '.join(known)}")
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        _fail("model.module", f"{inner} in {name} is no torch.nn.Module")
    return kind


def _dtypes(study: Study) -> dict[str, torch.dtype]:
    return {m: x.dtype for m, x in study.test.inputs.items()}


def _seed(seed: int) -> int:
    """A seed of torch for the weights of a whole network."""
    return int(stream(seed, "init", "network").integers(2**63))


def _fail(key: str, what: object, cause: Exception | None = None) -> NoReturn:
    if isinstance(what, ScenarioError):
        raise what
    raise ScenarioError([Problem("", key, str(what))]) from cause
