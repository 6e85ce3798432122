"""The pieces that a model is made of, as functions of their weights.

Every piece works on one client's weights (``[in, out]``) and on those of many at once, stacked along a leading
client axis (``[clients, in, out]``); the data then carry that axis too (``[clients, batch, ..., in]``). No product or
sum crosses it, so a client's numbers do not depend on who is stacked beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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


FEW = 12  # outputs up to which the product of the transposed is several times as fast, and so are its gradients


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight + bias`` over the last axis."""
    if weight.dim() == 2:
        return F.linear(x, weight.T, bias)
    columns = weight.shape[-1]
    # A product with a single column or row takes another path, whose bits depend on the stack; so does its gradient.
    if columns == 1:
        weight, bias = F.pad(weight, (0, 1)), None if bias is None else F.pad(bias, (0, 1))
    if weight.shape[-2] == 1:
        weight, x = F.pad(weight, (0, 0, 0, 1)), F.pad(x, (0, 1))
    rows = x.reshape(len(x), -1, x.shape[-1])
    if bias is None:
        out = torch.bmm(rows, weight)
    elif weight.shape[-1] <= FEW:
        out = _OutputsFirst.apply(rows, weight.mT, bias)
    else:
        out = torch.baddbmm(bias.unsqueeze(1), rows, weight)
    out = out.view(*x.shape[:-1], weight.shape[-1])
    return out if weight.shape[-1] == columns else out[..., :columns]  # the gradient of a slice is a copy


def outputs_first(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """:func:`linear` with a weight of ``[outputs, inputs]``: several times as fast where outputs are few."""
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    count = weight.shape[-2]
    if count == 1:
        weight, bias = F.pad(weight, (0, 0, 0, 1)), F.pad(bias, (0, 1))
    if weight.shape[-1] == 1:
        weight, x = F.pad(weight, (0, 1)), F.pad(x, (0, 1))
    out = _OutputsFirst.apply(x.reshape(len(x), -1, x.shape[-1]), weight, bias)
    out = out.view(*x.shape[:-1], weight.shape[-2])
    return out if weight.shape[-2] == count else out[..., :count]


class _OutputsFirst(torch.autograd.Function):
    """The products that are fast when outputs are few: autograd would take others for the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(2), weight, x.mT).mT.contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = (t.to(grad.dtype) for t in ctx.saved_tensors)  # autocast may have rounded the output
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            torch.bmm(grad, weight) if to_x else None,
            torch.bmm(grad.mT, x) if to_weight else None,
            grad.sum(1) if to_bias else None,
        )


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


Beside = Callable[[str, Tensor, Tensor], Tensor]  # a map's name, its input and its output to its output, changed


@dataclass(frozen=True, slots=True)
class Trunk:
    """A pre-norm transformer encoder (after Vaswani et al. 2017 and Xiong et al. 2020), ReLU inside."""

    width: int
    layers: int
    heads: int

    @property
    def maps(self) -> dict[str, tuple[int, int]]:
        """The linear maps of every layer: how many numbers enter and leave."""
        d = self.width
        return {"qkv": (d, 3 * d), "proj": (d, d), "up": (d, 2 * d), "down": (2 * d, d)}

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """Scaled normal weights, zero biases, unit norms."""
        d, p = self.width, {}
        for i in range(self.layers):
            for name, (rows, columns) in self.maps.items():
                p[f"{i}.{name}.weight"] = draw((rows, columns), math.sqrt(1 / rows))
                p[f"{i}.{name}.bias"] = draw((columns,), 0.0)
            for name in ("norm1", "norm2"):
                p |= {f"{i}.{name}.scale": draw((d,), 0.0) + 1, f"{i}.{name}.bias": draw((d,), 0.0)}
        return p | {"norm.scale": draw((d,), 0.0) + 1, "norm.bias": draw((d,), 0.0)}

    def attention(self, p: Params, i: int, x: Tensor, absent: Tensor | None, beside: Beside | None = None) -> Tensor:
        """Layer *i*'s first half on ``[..., tokens, width]``; *absent* is 0, or -inf at tokens nobody may look at."""
        qkv = self._map(p, i, "qkv", norm(x, p[f"{i}.norm1.scale"], p[f"{i}.norm1.bias"]), beside)
        return x + self._map(p, i, "proj", attend(qkv, self.heads, absent), beside)

    def feed_forward(self, p: Params, i: int, x: Tensor, beside: Beside | None = None) -> Tensor:
        """Layer *i*'s second half, token by token."""
        up = self._map(p, i, "up", norm(x, p[f"{i}.norm2.scale"], p[f"{i}.norm2.bias"]), beside)
        return x + self._map(p, i, "down", torch.relu(up), beside)

    def _map(self, p: Params, i: int, name: str, x: Tensor, beside: Beside | None) -> Tensor:
        out = linear(x, p[f"{i}.{name}.weight"], p[f"{i}.{name}.bias"])
        return out if beside is None else beside(name, x, out)

    def finish(self, p: Params, x: Tensor) -> Tensor:
        """The last normalisation."""
        return norm(x, p["norm.scale"], p["norm.bias"])


def attend(qkv: Tensor, heads: int, absent: Tensor | None) -> Tensor:
    """Scaled dot-product attention; queries, keys and values lie side by side in ``[..., tokens, 3 width]``."""
    if qkv.dim() == 4:
        return _attend_stacked(qkv, heads, absent)
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).movedim(-3, 0).transpose(-3, -2)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if absent is not None:
        scores = scores + absent
    return (torch.softmax(scores, -1) @ v).transpose(-3, -2).flatten(-2)


def _attend_stacked(qkv: Tensor, heads: int, absent: Tensor | None) -> Tensor:
    """The same for ``[clients, batch, tokens, 3 width]``, keys before queries: softmax over few last is slow."""
    clients, batch, tokens, width = qkv.shape
    alone = qkv.unflatten(-1, (3, heads, -1)).permute(3, 0, 1, 4, 2, 5).reshape(3, -1, tokens, width // (3 * heads))
    q, k, v = alone.unbind()
    scores = torch.bmm(k, q.mT) / math.sqrt(q.shape[-1])
    if absent is not None:
        nobody = absent.reshape(clients, 1, tokens, 1).expand(-1, batch * heads, -1, -1)
        scores = scores + nobody.reshape(-1, tokens, 1)
    out = torch.bmm(torch.softmax(scores, 1).mT, v)
    return out.view(clients, batch, heads, tokens, -1).transpose(2, 3).flatten(-2)


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear map, such as a decoder."""

    inputs: int
    outputs: int

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """Scaled normal weights and a zero bias."""
        weight = draw((self.inputs, self.outputs), math.sqrt(1 / self.inputs))
        return {"weight": weight, "bias": draw((self.outputs,), 0.0)}

    def __call__(self, p: Params, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        return linear(x, p["weight"], p["bias"])


@dataclass(frozen=True, slots=True)
class Head:
    """A linear map to few outputs, weights ``[outputs, inputs]``; it begins at zero when *zero* is set."""

    inputs: int
    outputs: int
    zero: bool = False

    def init(self, draw: Draw) -> dict[str, Tensor]:
        """Scaled normal weights (or zeros) and a zero bias."""
        weight = draw((self.inputs, self.outputs), 0.0 if self.zero else math.sqrt(1 / self.inputs))
        return {"weight": weight.mT.contiguous(), "bias": draw((self.outputs,), 0.0)}

    def __call__(self, p: Params, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        return outputs_first(x, p["weight"], p["bias"])


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
