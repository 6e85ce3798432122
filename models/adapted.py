"""A trunk with what adapts it, as a sequence of segments, so that it can be cut between any two of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.adapters import BEHIND, Adaptation, Prompt, adapted
from models.blocks import Beside, Block, Trunk
from models.model import Nested, module

HALVES = (("qkv", "proj"), ("up", "down"))  # the linear maps of a layer's attention and of its feed-forward part


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the way through the trunk.

    *reads*: how the "module/parameter" names of its weights begin. *run* takes weights, tokens, and for each token 0,
    or -inf if nobody may look at it. *joins*: how many tokens it adds.
    """

    reads: tuple[str, ...]
    run: Callable[[Nested, Tensor, Tensor | None], Tensor]
    joins: int = 0


@dataclass(frozen=True)
class AdaptedTrunk:
    """Modules ``trunk``, ``prompt`` and those of the adapters."""

    trunk: Trunk
    adapters: Adaptation | None = None
    prompt: Prompt | None = None

    def __post_init__(self) -> None:
        for what, piece in (("adapters", self.adapters), ("prompt", self.prompt)):
            if piece is not None and (piece.last or 0) > self.trunk.layers:
                raise ValueError(f"{what}.last is {piece.last}, but the trunk has {self.trunk.layers} layers")

    @cached_property
    def prompting(self) -> dict[str, Block]:
        """The prompt's module."""
        return self.prompt.blocks(self.trunk) if self.prompt else {}

    @cached_property
    def adapting(self) -> dict[str, Block]:
        """The adapters' modules."""
        return self.adapters.blocks(self.trunk) if self.adapters else {}

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """Every module by its name, in a fixed order."""
        return {"trunk": self.trunk, **self.prompting, **self.adapting}

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """From the tokens that leave the encoders to what heads read."""
        return (*(s for i in range(self.trunk.layers) for s in self._layer(i)), Segment(("trunk/norm.",), self._finish))

    def _layer(self, i: int) -> Iterator[Segment]:
        if self.prompt and i == self.prompt.enters(self.trunk):
            yield Segment(("prompt/",), lambda params, x, absent: Prompt.join(params, x), self.prompt.tokens)
        attends, feeds = (tuple(place for place in half if place in self._places(i)) for half in HALVES)
        own = tuple(f"trunk/{i}.{name}." for name in ("norm1", "qkv", "proj"))
        yield Segment((*own, *self._keys(i, attends)), partial(self._attention, i, attends))
        own = tuple(f"trunk/{i}.{name}." for name in ("norm2", "up", "down"))
        yield Segment((*own, *self._keys(i, feeds)), partial(self._feed_forward, i, feeds))
        if BEHIND in self._places(i):
            yield Segment(tuple(self._keys(i, (BEHIND,))), partial(self._behind, i))

    def _places(self, i: int) -> tuple[str, ...]:
        """What is adapted in layer *i*."""
        return self.adapters.places if self.adapters and i in adapted(self.adapters.last, self.trunk) else ()

    def _keys(self, i: int, places: Iterable[str]) -> Iterator[str]:
        return (key for place in places if self.adapters for key in self.adapters.keys(i, place))

    def _beside(self, i: int, places: Collection[str], params: Nested) -> Beside | None:
        adapters = self.adapters
        if adapters is None or not places:
            return None
        return lambda name, x, out: adapters(params, i, name, x, out) if name in places else out

    def _attention(self, i: int, places: Collection[str], params: Nested, x: Tensor, absent: Tensor | None) -> Tensor:
        return self.trunk.attention(params["trunk"], i, x, absent, self._beside(i, places, params))

    def _feed_forward(
        self, i: int, places: Collection[str], params: Nested, x: Tensor, absent: Tensor | None
    ) -> Tensor:
        return self.trunk.feed_forward(params["trunk"], i, x, self._beside(i, places, params))

    def _behind(self, i: int, params: Nested, x: Tensor, absent: Tensor | None) -> Tensor:
        assert self.adapters is not None
        return self.adapters(params, i, BEHIND, x, x)

    def _finish(self, params: Nested, x: Tensor, absent: Tensor | None) -> Tensor:
        own = x.shape[-2] - (self.prompt.tokens if self.prompt else 0)
        return self.trunk.finish(params["trunk"], x[..., :own, :])

    def walk(self, params: Nested, x: Tensor, there: Tensor | None, start: int = 0, stop: int | None = None) -> Tensor:
        """Tokens ``[..., batch, tokens, width]`` through segments *start* to *stop*.

        *there* is 1 or 0 for each of a sample's own tokens: nobody looks at the latter, and they come out zero.
        """
        if there is not None and (there.is_meta or bool(there.all())):
            there = None  # nothing to hide (or counted only); adding 0 and multiplying by 1 would give the same bits
        absent = None
        for segment in self.segments[start:stop]:
            if there is not None and (absent is None or absent.shape[-1] != x.shape[-2]):
                seen = _with_prompt(there, x)
                absent = torch.zeros_like(seen).masked_fill(seen == 0, -math.inf)[..., None, None, None, :]
            x = segment.run(params, x, absent)
        return x if there is None else x * _with_prompt(there, x)[..., None, :, None]

    def depth(self, trainable: Collection[str]) -> int:
        """How many segments come before the first that trains if these modules do."""
        trains = [any(module(key) in trainable for key in segment.reads) for segment in self.segments]
        return [*trains, True].index(True)

    def joined(self, depth: int) -> int:
        """How many tokens have joined a sample's own after so many segments, as long as they are there."""
        return sum(s.joins for s in self.segments[:depth]) if depth < len(self.segments) else 0

    def probe(self, name: str, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Module *name* alone on a sample's tokens, and on as many more as a prompt has, where it has joined."""
        if name == "prompt":
            return Prompt.join({name: params}, x)
        outs = []
        for i in range(self.trunk.layers):
            if self.prompt and i == self.prompt.enters(self.trunk):
                x = F.pad(x, (0, 0, 0, self.prompt.tokens))
            if name == "trunk":
                x = self.trunk.feed_forward(params, i, self.trunk.attention(params, i, x, None))
            elif self.adapters:
                outs += [self.adapters.probe(name, params, i, place, x) for place in self._places(i)]
        return self.trunk.finish(params, x) if name == "trunk" else torch.cat([out.flatten() for out in outs])


def _with_prompt(there: Tensor, x: Tensor) -> Tensor:
    return F.pad(there, (0, x.shape[-2] - there.shape[-1]), value=1.0)
