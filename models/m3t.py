"""M3T: a small multi-modal multi-task foundation model of named modules that can be federated one by one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from models.adapted import AdaptedTrunk
from models.adapters import Adaptation, Bottleneck, Prompt
from models.blocks import Block, Encoder, Head, Linear, Offset, Trunk
from models.data.samples import Task
from models.model import Cut, Nested, Stack, Tensors, undrawn
from models.rest import cut_at

TOKENS = {"handwriting": 2, "clickstream": 3, "record": 1}


@dataclass(frozen=True)
class M3T:
    """Encoders per modality, a shared transformer trunk with adapters, a head per task, offsets owned by tiers.

    Modules: ``encoder.<modality>`` (its share of the tokens), ``trunk``, ``prompt``, those of the adapters (see
    :mod:`models.adapters`), ``head.<task>``, ``offset.<tier>`` (added to the heads' outputs), ``decoder.<modality>``
    (used by masked pre-training only).
    A prediction: encode what is there, run the trunk over the tokens, lay them side by side (zero where a modality is
    lacking), apply the task's head, add the offsets.
    """

    shapes: Mapping[str, tuple[int, ...]]  # by modality, of one sample
    tasks: Mapping[str, Task]
    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int = 64
    adapters: Adaptation | None = field(default_factory=Bottleneck)
    prompt: Prompt | None = None
    offsets: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=lambda: TOKENS)

    def __post_init__(self) -> None:
        if min(self.width // self.heads, self.hidden, self.token_count) < 2 or self.width % self.heads:
            raise ValueError(
                f"M3T: width must be a multiple of heads and at least twice as much, hidden and tokens at least 2; got "
                f"width {self.width}, heads {self.heads}, hidden {self.hidden}, tokens {self.token_count}"
            )

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each modality."""
        parts = {m: self.tokens.get(m, 1) for m in self.shapes}
        return {
            m: Encoder(parts[m], math.prod(shape) // parts[m], self.hidden, self.width)
            for m, shape in self.shapes.items()
        }

    @property
    def token_count(self) -> int:
        """Of all modalities together."""
        return sum(e.tokens for e in self.encoders.values())

    @cached_property
    def trunk(self) -> AdaptedTrunk:
        """The transformer with prompt and adapters."""
        return AdaptedTrunk(Trunk(self.width, self.layers, self.heads), self.adapters, self.prompt)

    @cached_property
    def modules(self) -> dict[str, Block]:
        """Every module by its name, in a fixed order."""
        outputs = {name: task.outputs for name, task in self.tasks.items()}
        blocks: dict[str, Block] = {f"encoder.{m}": e for m, e in self.encoders.items()}
        blocks |= self.trunk.blocks
        blocks |= {f"head.{t}": Head(self.width * self.token_count, n) for t, n in outputs.items()}
        blocks |= {f"offset.{tier}": Offset(outputs) for tier in self.offsets}
        z = self.width * self.token_count
        return blocks | {f"decoder.{m}": Linear(z, e.tokens * e.features) for m, e in self.encoders.items()}

    def held(self, modalities: Iterable[str], tasks: Iterable[str]) -> tuple[str, ...]:
        """The "module/parameter" names of use to a node with these modalities and tasks; decoders are for nobody."""
        mine, some = {f"encoder.{m}" for m in modalities}, set(tasks)

        def wanted(name: str, parameter: str) -> bool:
            kind, _, rest = name.partition(".")
            return {"encoder": name in mine, "head": rest in some, "offset": parameter in some}.get(
                kind, kind != "decoder"
            )

        return tuple(
            f"{name}/{parameter}"
            for name, block in self.modules.items()
            for parameter in block.init(undrawn)
            if wanted(name, parameter)
        )

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """Encoders, trunk, prompt and head; an adapter begins as the identity and needs no teaching."""
        return (*(f"encoder.{m}" for m in modalities), "trunk", *self.trunk.prompting, f"head.{task}")

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The same, and the adapters, all of them."""
        return (*self.path(task, modalities), *self.trunk.adapting)

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """Those whose encoder is among *keys*."""
        return tuple(m for m in self.shapes if f"encoder.{m}/place" in keys)

    def probe_shape(self, name: str) -> tuple[int, ...]:
        """One sample's parts for an encoder, tokens for the trunk and what adapts it, all in one row for the others."""
        kind, _, rest = name.partition(".")
        if kind == "encoder":
            return (1, self.encoders[rest].tokens, self.encoders[rest].features)
        return (1, self.token_count, self.width) if name in self.trunk.blocks else (1, self.token_count * self.width)

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Module *name* alone; the trunk without adapters, but over a prompt's tokens."""
        block = self.modules[name]
        if isinstance(block, Offset):
            return torch.cat([Offset.add(effect, x[..., :1]) for effect in params.values()], -1)
        if isinstance(block, Encoder | Head | Linear):
            return block(params, x)
        return self.trunk.probe(name, params, x)

    def parts(self, inputs: Tensors, stack: Stack | None) -> dict[str, Tensor]:
        """Each modality cut into what becomes one token: ``[..., batch, tokens, features]``."""
        return {m: self.encoders[m].parts(x, 1 if stack is None else 2) for m, x in inputs.items()}

    def features(self, params: Nested, parts: Tensors, stack: Stack | None) -> dict[str, Tensor]:
        """What the trunk makes of each modality's tokens: ``[..., batch, tokens, width]``.

        One client has only the tokens of its own modalities. A stack always has all of them, so that a client's sums
        have the same length whoever is beside it; nobody looks at a token that its client lacks, and it comes out zero.
        """
        tokens, there = self.encode(params, parts, stack)
        x = self.trunk.walk(params, torch.cat(list(tokens.values()), -2), there)
        return dict(zip(tokens, torch.split(x, [self.encoders[m].tokens for m in tokens], -2), strict=True))

    def encode(self, params: Nested, parts: Tensors, stack: Stack | None) -> tuple[dict[str, Tensor], Tensor | None]:
        """Each modality's tokens; in a stack of all modalities, and which tokens are whose, ``[clients, tokens]``."""
        tokens = {m: self.encoders[m](params[f"encoder.{m}"], part) for m, part in parts.items()}
        return (tokens, None) if stack is None else self._spread(tokens, stack)

    def _spread(self, tokens: Tensors, stack: Stack) -> tuple[dict[str, Tensor], Tensor]:
        """Tokens of all modalities over all clients, and 1 where a token is its client's, ``[clients, tokens]``."""
        first = next(iter(tokens.values()))
        out, there = {}, []
        for m, encoder in self.encoders.items():
            if m in tokens:
                out[m], holds = stack.spread(f"encoder.{m}", tokens[m]), stack.holds(f"encoder.{m}", first)
            else:
                out[m] = first.new_zeros(stack.count, first.shape[1], encoder.tokens, self.width)
                holds = first.new_zeros(stack.count)
            there += [holds] * encoder.tokens
        return out, torch.stack(there, -1)

    def side_by_side(self, tokens: Tensors) -> Tensor:
        """All tokens of a sample in one row, ``[..., batch, tokens * width]``; zero where a modality is lacking."""
        some = next(iter(tokens.values()))
        zeros = {m: some.new_zeros(*some.shape[:-2], e.tokens, self.width) for m, e in self.encoders.items()}
        return torch.cat([tokens.get(m, zeros[m]) for m in self.encoders], -2).flatten(-2)

    def cut(self, trainable: Collection[str]) -> Cut | None:
        """Before the first prompt or adapter that trains; behind the trunk where none does.

        Adapters beside a layer's maps cut before the half of the layer (attention or feed-forward) that has the first
        of them; a trunk that trains cuts behind the encoders; an encoder that trains leaves nothing to cut.
        """
        if any(f"encoder.{m}" in trainable for m in self.shapes):
            return None
        return cut_at(self, self.trunk.depth(trainable))

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        features = self.features(params, self.parts(inputs, stack), stack)
        return self.read(params, self.side_by_side(features), tasks, stack)

    def read(self, params: Nested, z: Tensor, tasks: Sequence[str], stack: Stack | None) -> dict[str, Tensor]:
        """Outputs by task of features side by side, ``[..., batch, tokens * width]``."""
        return {task: read_out(self.modules, self.offsets, params, task, z, stack) for task in tasks}


def read_out(
    modules: Mapping[str, Block],
    offsets: Iterable[str],
    params: Nested,
    task: str,
    z: Tensor,
    stack: Stack | None,
) -> Tensor:
    """A head's output on *z* with the offsets that the client holds added."""
    name = f"head.{task}"
    head = modules[name]
    assert isinstance(head, Head)
    out = head(params[name], z if stack is None else stack.take(name, z))
    for tier in offsets:
        effect = params.get(f"offset.{tier}", {}).get(task)
        if effect is not None:
            if stack is not None:
                effect = stack.take(name, stack.spread(f"offset.{tier}/{task}", effect))
            out = Offset.add(effect, out)
    return out
