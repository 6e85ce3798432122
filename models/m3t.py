"""M3T: a small multi-modal multi-task foundation model of named modules that can be federated one by one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from models.blocks import Adapter, Block, Encoder, Linear, Offset, Trunk
from models.data.samples import Task
from models.model import Nested, Stack, Tensors

TOKENS = {"handwriting": 2, "clickstream": 3, "record": 1}


@dataclass(frozen=True)
class M3T:
    """Encoders per modality, a shared transformer trunk with adapters, a head per task, offsets owned by tiers.

    Modules: ``encoder.<modality>`` (its share of the tokens), ``trunk``, ``adapter``, ``head.<task>``,
    ``offset.<tier>`` (added to the heads' outputs), ``decoder.<modality>`` (used by masked pre-training only).
    A prediction: encode what is there, run the trunk over the tokens, lay them side by side (zero where a modality is
    lacking), apply the task's head, add the offsets.
    """

    shapes: Mapping[str, tuple[int, ...]]  # by modality, of one sample
    tasks: Mapping[str, Task]
    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int = 64
    adapter_width: int = 8
    adapted_layers: int = 1  # the last so many
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
    def modules(self) -> dict[str, Block]:
        """Every module by its name, in a fixed order."""
        adapted = tuple(range(self.layers - self.adapted_layers, self.layers)) if self.adapter_width else ()
        outputs = {name: task.outputs for name, task in self.tasks.items()}
        blocks: dict[str, Block] = {f"encoder.{m}": e for m, e in self.encoders.items()}
        blocks["trunk"] = Trunk(self.width, self.layers, self.heads)
        if adapted:
            blocks["adapter"] = Adapter(self.width, self.adapter_width, adapted)
        blocks |= {f"head.{t}": Linear(self.width * self.token_count, n) for t, n in outputs.items()}
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
            for parameter in block.init(_no_draw)
            if wanted(name, parameter)
        )

    def path(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """Encoders, trunk and head; an adapter begins as the identity and needs no teaching."""
        return (*(f"encoder.{m}" for m in modalities), "trunk", f"head.{task}")

    def needs(self, task: str, modalities: Iterable[str]) -> tuple[str, ...]:
        """The same, and the adapter."""
        return (*self.path(task, modalities), *(["adapter"] if "adapter" in self.modules else []))

    def modalities(self, keys: Collection[str]) -> tuple[str, ...]:
        """Those whose encoder is among *keys*."""
        return tuple(m for m in self.shapes if f"encoder.{m}/place" in keys)

    def probe_shape(self, name: str) -> tuple[int, ...]:
        """One sample's parts for an encoder, all tokens for trunk and adapter, all side by side for the others."""
        kind, _, rest = name.partition(".")
        if kind == "encoder":
            return (1, self.encoders[rest].tokens, self.encoders[rest].features)
        tokens = self.token_count
        return (1, tokens, self.width) if kind in ("trunk", "adapter") else (1, tokens * self.width)

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Module *name* alone; the trunk without adapters."""
        block = self.modules[name]
        if isinstance(block, Trunk):
            for i in range(self.layers):
                x = block.layer(params, i, x, None)
            return block.finish(params, x)
        if isinstance(block, Adapter):
            for i in block.at:
                x = block(params, i, x)
            return x
        if isinstance(block, Offset):
            return torch.cat([Offset.add(effect, x[..., :1]) for effect in params.values()], -1)
        assert isinstance(block, Encoder | Linear)
        return block(params, x)

    def parts(self, inputs: Tensors, stack: Stack | None) -> dict[str, Tensor]:
        """Each modality cut into what becomes one token: ``[..., batch, tokens, features]``."""
        return {m: self.encoders[m].parts(x, 1 if stack is None else 2) for m, x in inputs.items()}

    def features(self, params: Nested, parts: Tensors, stack: Stack | None) -> dict[str, Tensor]:
        """What the trunk makes of each modality's tokens: ``[..., batch, tokens, width]``.

        One client has only the tokens of its own modalities. A stack always has all of them, so that a client's sums
        have the same length whoever is beside it; nobody looks at a token that its client lacks, and it comes out zero.
        """
        tokens = {m: self.encoders[m](params[f"encoder.{m}"], part) for m, part in parts.items()}
        there = absent = None
        if stack is not None:
            tokens, there = self._spread(tokens, stack)
            absent = torch.zeros_like(there).masked_fill(there == 0, -math.inf)[:, None, None, None, :]
        x, trunk = torch.cat(list(tokens.values()), -2), self.modules["trunk"]
        assert isinstance(trunk, Trunk)
        adapter = self.modules.get("adapter")
        for i in range(self.layers):
            x = trunk.layer(params["trunk"], i, x, absent)
            if isinstance(adapter, Adapter) and i in adapter.at:
                x = adapter(params["adapter"], i, x)
        x = trunk.finish(params["trunk"], x)
        if there is not None:
            x = x * there[:, None, :, None]
        return dict(zip(tokens, torch.split(x, [self.encoders[m].tokens for m in tokens], -2), strict=True))

    def _spread(self, tokens: Tensors, stack: Stack) -> tuple[dict[str, Tensor], Tensor]:
        """Tokens of all modalities over all clients, and 1 where a token is its client's, ``[clients, tokens]``."""
        first = next(iter(tokens.values()))
        out, there = {}, []
        for m, encoder in self.encoders.items():
            if m in tokens:
                out[m], holds = stack.spread(f"encoder.{m}", tokens[m]), stack.holds(f"encoder.{m}")
            else:
                out[m] = first.new_zeros(stack.count, first.shape[1], encoder.tokens, self.width)
                holds = torch.zeros(stack.count)
            there += [holds.to(first.dtype)] * encoder.tokens
        return out, torch.stack(there, -1)

    def side_by_side(self, tokens: Tensors) -> Tensor:
        """All tokens of a sample in one row, ``[..., batch, tokens * width]``; zero where a modality is lacking."""
        some = next(iter(tokens.values()))
        zeros = {m: some.new_zeros(*some.shape[:-2], e.tokens, self.width) for m, e in self.encoders.items()}
        return torch.cat([tokens.get(m, zeros[m]) for m in self.encoders], -2).flatten(-2)

    def forward(
        self, params: Nested, inputs: Tensors, tasks: Sequence[str], stack: Stack | None = None
    ) -> dict[str, Tensor]:
        """Outputs ``[..., batch, outputs]`` by task."""
        z = self.side_by_side(self.features(params, self.parts(inputs, stack), stack))
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
    assert isinstance(head, Linear)
    out = head(params[name], z if stack is None else stack.take(name, z))
    for tier in offsets:
        effect = params.get(f"offset.{tier}", {}).get(task)
        if effect is not None:
            if stack is not None:
                effect = stack.take(name, stack.spread(f"offset.{tier}/{task}", effect))
            out = Offset.add(effect, out)
    return out


def _no_draw(shape: tuple[int, ...], std: float) -> Tensor:
    return torch.empty(shape, device="meta")
