"""The pieces that a model is made of, as functions of their weights.

Every piece works on one client's weights (``[in, out]``) and on those of many at once, stacked along a leading
client axis (``[clients, in, out]``); the data then carry that axis too (``[clients, batch, ..., in]``). No product or
sum crosses it, so a client's numbers do not depend on who is stacked beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Params = Mapping[str, Tensor]
Draw = Callable[[tuple[int, ...], float], Tensor]  # a shape and a standard deviation to random numbers


class Block(Protocol):
    """A module's shape: it knows how its weights begin."""

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """Weights by name, as they are before any training."""
        ...


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x @ weight + bias`` over the last axis."""
    if weight.dim() == 2:
        return F.linear(x, weight.T, bias)
    columns = weight.shape[-1]
    # A product with a single column or row takes another path, whose bits depend on the stack; so does its gradient.
    if columns == 1:
        weight, bias = F.pad(weight, (0, 1)), F.pad(bias, (0, 1))
    if weight.shape[-2] == 1:
        weight, x = F.pad(weight, (0, 0, 0, 1)), F.pad(x, (0, 1))
    rows = x.reshape(len(x), -1, x.shape[-1])
    out = torch.baddbmm(bias.unsqueeze(1), rows, weight)
    return out.view(*x.shape[:-1], weight.shape[-1])[..., :columns]


def aligned(p: Tensor, x: Tensor, own: int = 1) -> Tensor:
    """*p*, whose last *own* axes belong to the piece, shaped so that it broadcasts over *x*'s batch axes."""
    lead = p.shape[: p.dim() - own]
    return p.view(*lead, *(1,) * (x.dim() - p.dim()), *p.shape[p.dim() - own :])


def norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Layer normalisation over the last axis."""
    return F.layer_norm(x, x.shape[-1:]) * aligned(scale, x) + aligned(bias, x)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Turns one modality into *tokens* tokens: each part of the input through a small perceptron, plus its place."""

    tokens: int
    features: int  # of one part
    hidden: int
    width: int

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """He-scaled weights; the places are drawn too, since attention alone cannot tell tokens apart."""
        return {
            "in.weight": draw((self.features, self.hidden), math.sqrt(2 / self.features)),
            "in.bias": draw((self.hidden,), 0.0),
            "out.weight": draw((self.hidden, self.width), math.sqrt(1 / self.hidden)),
            "out.bias": draw((self.width,), 0.0),
            "place": draw((self.tokens, self.width), 0.5),
        }

    def parts(self, x: Tensor, lead: int) -> Tensor:
        """``[..., *shape]`` cut into ``[..., tokens, features]``; *lead* axes come before the shape."""
        return x.reshape(*x.shape[:lead], self.tokens, self.features)

    def __call__(self, p: Params, parts: Tensor) -> Tensor:
        """``[..., tokens, features]`` to ``[..., tokens, width]``."""
        hidden = torch.relu(linear(parts, p["in.weight"], p["in.bias"]))
        out = linear(hidden, p["out.weight"], p["out.bias"])
        return out + aligned(p["place"], out, own=2)


@dataclass(frozen=True, slots=True)
class Trunk:
    """A pre-norm transformer encoder (after Vaswani et al. 2017 and Xiong et al. 2020), ReLU inside."""

    width: int
    layers: int
    heads: int

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """Scaled normal weights, zero biases, unit norms."""
        d, p = self.width, {}
        for i in range(self.layers):
            for name, rows, columns in (("qkv", d, 3 * d), ("proj", d, d), ("up", d, 2 * d), ("down", 2 * d, d)):
                p[f"{i}.{name}.weight"] = draw((rows, columns), math.sqrt(1 / rows))
                p[f"{i}.{name}.bias"] = draw((columns,), 0.0)
            for name in ("norm1", "norm2"):
                p |= {f"{i}.{name}.scale": draw((d,), 0.0) + 1, f"{i}.{name}.bias": draw((d,), 0.0)}
        return p | {"norm.scale": draw((d,), 0.0) + 1, "norm.bias": draw((d,), 0.0)}

    def layer(self, p: Params, i: int, x: Tensor, absent: Tensor | None) -> Tensor:
        """Layer *i* on tokens ``[..., tokens, width]``; *absent* is 0, or -inf at tokens nobody may look at."""
        qkv = linear(norm(x, p[f"{i}.norm1.scale"], p[f"{i}.norm1.bias"]), p[f"{i}.qkv.weight"], p[f"{i}.qkv.bias"])
        x = x + linear(attend(qkv, self.heads, absent), p[f"{i}.proj.weight"], p[f"{i}.proj.bias"])
        up = linear(norm(x, p[f"{i}.norm2.scale"], p[f"{i}.norm2.bias"]), p[f"{i}.up.weight"], p[f"{i}.up.bias"])
        return x + linear(torch.relu(up), p[f"{i}.down.weight"], p[f"{i}.down.bias"])

    def finish(self, p: Params, x: Tensor) -> Tensor:
        """The last normalisation."""
        return norm(x, p["norm.scale"], p["norm.bias"])


def attend(qkv: Tensor, heads: int, absent: Tensor | None) -> Tensor:
    """Scaled dot-product attention; queries, keys and values lie side by side in ``[..., tokens, 3 width]``."""
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).movedim(-3, 0).transpose(-3, -2)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if absent is not None:
        scores = scores + absent
    return (torch.softmax(scores, -1) @ v).transpose(-3, -2).flatten(-2)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Bottleneck adapters (Houlsby et al. 2019) after the feed-forward part of some layers; at first the identity."""

    width: int
    bottleneck: int
    at: tuple[int, ...]  # the layers that have one

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """The way up begins at zero, so a fresh adapter changes nothing."""
        d, b = self.width, self.bottleneck
        return {
            f"{i}.{name}": draw(shape, std)
            for i in self.at
            for name, shape, std in (
                ("down.weight", (d, b), math.sqrt(2 / d)),
                ("down.bias", (b,), 0.0),
                ("up.weight", (b, d), 0.0),
                ("up.bias", (d,), 0.0),
            )
        }

    def __call__(self, p: Params, i: int, x: Tensor) -> Tensor:
        """What leaves layer *i*, adapted."""
        hidden = torch.relu(linear(x, p[f"{i}.down.weight"], p[f"{i}.down.bias"]))
        return x + linear(hidden, p[f"{i}.up.weight"], p[f"{i}.up.bias"])


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear map, a head or a decoder; it begins at zero when *zero* is set."""

    inputs: int
    outputs: int
    zero: bool = False

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """Scaled normal weights (or zeros) and a zero bias."""
        std = 0.0 if self.zero else math.sqrt(1 / self.inputs)
        return {"weight": draw((self.inputs, self.outputs), std), "bias": draw((self.outputs,), 0.0)}

    def __call__(self, p: Params, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        return linear(x, p["weight"], p["bias"])


@dataclass(frozen=True, slots=True)
class Offset:
    """Numbers that a class or a school adds to every task's output: the group effect of a mixed-effects model."""

    outputs: Mapping[str, int]  # by task

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """No effect before any training."""
        return {task: draw((n,), 0.0) for task, n in self.outputs.items()}

    @staticmethod
    def add(effect: Tensor, x: Tensor) -> Tensor:
        """A task's output with this group's effect added."""
        return x + aligned(effect, x)
