"""Ways of teaching a frozen trunk by few weights: bottlenecks, low-rank maps, mixtures of these, and prompts.

Bottlenecks, low-rank maps and mixtures begin as the identity: they change nothing before they are trained. A prompt
changes what the trunk makes of a sample from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.blocks import Block, Draw, Params, Trunk, aligned, linear
from models.model import Nested

MAPS = ("qkv", "proj", "up", "down")
BEHIND = "behind"  # the place after a layer's feed-forward part; the other places are the layer's linear maps


class Adaptation(Protocol):
    """Changes what comes out of some places of the last so many layers of a trunk."""

    @property
    def last(self) -> int:
        """In how many layers, counted from the end."""
        ...

    @property
    def places(self) -> tuple[str, ...]:
        """Which places of a layer: names of its linear maps, or ``behind`` its feed-forward part."""
        ...

    def blocks(self, trunk: Trunk) -> dict[str, Block]:
        """Its modules by name."""
        ...

    def keys(self, i: int, place: str) -> tuple[str, ...]:
        """How the "module/parameter" names begin that work at a place of layer *i*."""
        ...

    def __call__(self, params: Nested, i: int, place: str, x: Tensor, out: Tensor) -> Tensor:
        """*out*, which came out of a place of layer *i* when *x* went in, adapted."""
        ...

    def probe(self, name: str, p: Params, i: int, place: str, x: Tensor) -> Tensor:
        """What module *name* alone does at a place of layer *i* for tokens of the trunk's width: to count its cost."""
        ...


def adapted(last: int, trunk: Trunk) -> range:
    """The last so many layers."""
    return range(trunk.layers - last, trunk.layers)


def _positive(what: str, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{what}: {name} must be 1 or more, got {number}")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A module that is a list of weights: their shapes and how wide they are drawn (0: they begin at zero)."""

    shapes: Mapping[str, tuple[tuple[int, ...], float]]

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """As listed."""
        return {name: draw(shape, std) for name, (shape, std) in self.shapes.items()}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Module ``adapter``: down to *width*, ReLU, up, added, one per layer after its feed-forward part.

    After Houlsby et al. 2019, who put a second one after the attention.
    """

    width: int = 8
    last: int = 1
    places: tuple[str, ...] = (BEHIND,)

    def __post_init__(self) -> None:
        _positive("Bottleneck", width=self.width, last=self.last)

    def blocks(self, trunk: Trunk) -> dict[str, Block]:
        """The way up begins at zero, so a fresh adapter changes nothing."""
        d, b = trunk.width, self.width
        shapes: dict[str, tuple[tuple[int, ...], float]] = {}
        for i in adapted(self.last, trunk):
            shapes |= {f"{i}.down.weight": ((d, b), math.sqrt(2 / d)), f"{i}.down.bias": ((b,), 0.0)}
            shapes |= {f"{i}.up.weight": ((b, d), 0.0), f"{i}.up.bias": ((d,), 0.0)}
        return {"adapter": Drawn(shapes)}

    def keys(self, i: int, place: str) -> tuple[str, ...]:
        """Those of layer *i*."""
        return (f"adapter/{i}.",)

    def __call__(self, params: Nested, i: int, place: str, x: Tensor, out: Tensor) -> Tensor:
        """What leaves layer *i*, adapted."""
        p = params["adapter"]
        hidden = torch.relu(linear(out, p[f"{i}.down.weight"], p[f"{i}.down.bias"]))
        return out + linear(hidden, p[f"{i}.up.weight"], p[f"{i}.up.bias"])

    def probe(self, name: str, p: Params, i: int, place: str, x: Tensor) -> Tensor:
        """The whole of it."""
        return self({name: p}, i, place, x, x)


def _low_rank(trunk: Trunk, last: int, maps: tuple[str, ...], rank: int) -> Drawn:
    """A normal way down and a zero way up beside each map, as Hu et al. begin."""
    shapes = {}
    for i in adapted(last, trunk):
        for name in maps:
            rows, columns = trunk.maps[name]
            shapes[f"{i}.{name}.a"] = (rows, rank), math.sqrt(1 / rows)
            shapes[f"{i}.{name}.b"] = (rank, columns), 0.0
    return Drawn(shapes)


def _delta(p: Params, i: int, place: str, x: Tensor) -> Tensor:
    return linear(linear(x, p[f"{i}.{place}.a"]), p[f"{i}.{place}.b"])


def _wide(x: Tensor, place: str) -> Tensor:
    """An input as wide as a map's: ``down`` takes twice the trunk's width."""
    return torch.cat([x, x], -1) if place == "down" else x


def _check_maps(what: str, maps: tuple[str, ...]) -> None:
    unknown = [name for name in maps if name not in MAPS]
    if unknown or not maps:
        raise ValueError(f"{what}: maps must be some of {', '.join(MAPS)}, got {', '.join(maps) or 'none'}")


@dataclass(frozen=True, slots=True)
class LoRA:
    """Module ``adapter``: ``alpha / rank`` times ``x A B`` beside some linear maps of a layer (Hu et al. 2022)."""

    rank: int = 4
    last: int = 1
    alpha: float | None = None  # None: the rank, so that nothing is scaled
    maps: tuple[str, ...] = ("qkv", "proj")

    def __post_init__(self) -> None:
        _positive("LoRA", rank=self.rank, last=self.last)
        _check_maps("LoRA", self.maps)

    @property
    def places(self) -> tuple[str, ...]:
        """The maps."""
        return self.maps

    def blocks(self, trunk: Trunk) -> dict[str, Block]:
        """``B`` begins at zero, so a fresh adapter changes nothing."""
        return {"adapter": _low_rank(trunk, self.last, self.maps, self.rank)}

    def keys(self, i: int, place: str) -> tuple[str, ...]:
        """Those of the map."""
        return (f"adapter/{i}.{place}.",)

    def __call__(self, params: Nested, i: int, place: str, x: Tensor, out: Tensor) -> Tensor:
        """The map's output with the low-rank one added."""
        return out + _scaled(_delta(params["adapter"], i, place, x), self.alpha, self.rank)

    def probe(self, name: str, p: Params, i: int, place: str, x: Tensor) -> Tensor:
        """What it adds."""
        return _delta(p, i, place, _wide(x, place))


@dataclass(frozen=True, slots=True)
class Experts:
    """Modules ``expert.0`` to ``expert.<count - 1>``, each a :class:`LoRA`, and ``router``, which mixes them.

    A linear router beside each adapted map gives every token a softmax over the experts, by which their outputs are
    weighed: the soft mixture of Zadouri et al. 2024 (MoLORA). With *top*, only so many experts with the largest weights
    count, and their weights sum to 1 (Shazeer et al. 2017, without noise or a loss that balances). All experts are
    computed in either case.
    """

    count: int = 4
    rank: int = 4
    last: int = 1
    alpha: float | None = None
    maps: tuple[str, ...] = ("qkv", "proj")
    top: int | None = None

    def __post_init__(self) -> None:
        _positive("Experts", count=self.count, rank=self.rank, last=self.last)
        _check_maps("Experts", self.maps)
        if self.top is not None and not 1 <= self.top <= self.count:
            raise ValueError(f"Experts: top must be 1 to {self.count}, as many as there are, got {self.top}")

    @property
    def places(self) -> tuple[str, ...]:
        """The maps."""
        return self.maps

    @property
    def names(self) -> tuple[str, ...]:
        """Of the experts' modules."""
        return tuple(f"expert.{e}" for e in range(self.count))

    def blocks(self, trunk: Trunk) -> dict[str, Block]:
        """Every ``B`` begins at zero, so fresh experts change nothing, however they are mixed."""
        gates: dict[str, tuple[tuple[int, ...], float]] = {}
        for i in adapted(self.last, trunk):
            for name in self.maps:
                rows = trunk.maps[name][0]
                gates[f"{i}.{name}.weight"] = (rows, self.count), math.sqrt(1 / rows)
        low_rank = _low_rank(trunk, self.last, self.maps, self.rank)
        return {**dict.fromkeys(self.names, low_rank), "router": Drawn(gates)}

    def keys(self, i: int, place: str) -> tuple[str, ...]:
        """Those of the map, of all experts and the router."""
        return tuple(f"{name}/{i}.{place}." for name in (*self.names, "router"))

    def gates(self, p: Params, i: int, place: str, x: Tensor) -> Tensor:
        """How much each expert counts for each token: ``[..., tokens, count]``, with sum 1."""
        logits = linear(x, p[f"{i}.{place}.weight"])
        if self.top is not None and self.top < self.count:
            kept = torch.zeros_like(logits).scatter(-1, logits.topk(self.top, -1).indices, 1.0)
            logits = logits.masked_fill(kept == 0, -math.inf)
        return torch.softmax(logits, -1)

    def __call__(self, params: Nested, i: int, place: str, x: Tensor, out: Tensor) -> Tensor:
        """The map's output with the mixture added; the experts side by side are one low-rank map."""
        a = torch.cat([params[name][f"{i}.{place}.a"] for name in self.names], -1)
        b = torch.cat([params[name][f"{i}.{place}.b"] for name in self.names], -2)
        gates = self.gates(params["router"], i, place, x)
        hidden = linear(x, a).unflatten(-1, (self.count, self.rank)) * gates.unsqueeze(-1)
        return out + _scaled(linear(hidden.flatten(-2), b), self.alpha, self.rank)

    def probe(self, name: str, p: Params, i: int, place: str, x: Tensor) -> Tensor:
        """What one expert adds before it is weighed, or the router's weights."""
        wide = _wide(x, place)
        return self.gates(p, i, place, wide) if name == "router" else _delta(p, i, place, wide)


def _scaled(x: Tensor, alpha: float | None, rank: int) -> Tensor:
    return x if alpha is None or alpha == rank else x * (alpha / rank)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Module ``prompt``: *tokens* learned tokens that stand beside a sample's own in the last so many layers.

    In all layers unless *last* is given: they join at the trunk's input (Lester et al. 2021). They begin at random.
    """

    tokens: int = 4
    last: int | None = None

    def __post_init__(self) -> None:
        _positive("Prompt", tokens=self.tokens, last=1 if self.last is None else self.last)

    def blocks(self, trunk: Trunk) -> dict[str, Block]:
        """Drawn as wide as the places of an encoder's tokens."""
        return {"prompt": Drawn({"tokens": ((self.tokens, trunk.width), 0.5)})}

    def enters(self, trunk: Trunk) -> int:
        """The layer before which it joins."""
        return 0 if self.last is None else trunk.layers - self.last

    @staticmethod
    def join(params: Nested, x: Tensor) -> Tensor:
        """The sample's tokens ``[..., tokens, width]``, and these behind them."""
        tokens = aligned(params["prompt"]["tokens"], x, own=2)
        return torch.cat([x, tokens.expand(*x.shape[:-2], *tokens.shape[-2:])], -2)
