"""The weights of several clients as one stack: what they train in few flat tensors, one row per client."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.model import Nested, Stack, Tensors, module, nest

LARGE = 2048  # numbers of a weight that is moved alone: joining it to others would cost more than it saves


@dataclass(frozen=True, slots=True)
class Group:
    """What the same clients hold and train: one row of *flat* per client, the weights of all *keys* side by side."""

    places: np.ndarray  # of the holders in the stack
    keys: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    flat: Tensor  # [holders, numbers]
    rows: Tensor  # the places, on the same device

    @property
    def sizes(self) -> list[int]:
        """How many numbers each key has."""
        return [math.prod(shape) for shape in self.shapes]

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Rows such as those of `flat`, cut into one stacked tensor per key."""
        pieces = flat.split(self.sizes, 1)
        return {
            key: piece.view(len(flat), *shape) for key, shape, piece in zip(self.keys, self.shapes, pieces, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Front:
    """The first clients of a stack: their weights as a model takes them, and what is trained as leaves of a graph."""

    params: Nested
    leaves: Mapping[str, Tensor]
    stack: Stack
    holders: tuple[int, ...]  # of each group, how many are among them
    values: Mapping[str, Tensor]  # by "module/parameter", leaves and others

    def at(self, weights: Tensors) -> Front:
        """The same with other values of what is trained."""
        leaves = {key: value.detach().requires_grad_() for key, value in weights.items()}
        values = {**self.values, **leaves}
        return Front(nest(values), leaves, self.stack, self.holders, values)

    def beside(self, companions: Mapping[str, Tensors]) -> dict[str, dict[str, Tensor]]:
        """Of stacked tensors of the clients that train a key, those of the first."""
        return {
            name: {key: value[: len(self.leaves[key])] for key, value in own.items() if key in self.leaves}
            for name, own in companions.items()
        }

    def rows(self, key: str) -> Tensor | None:
        """Whose *key* is; None: everybody's."""
        return self.stack.rows.get(key)


@dataclass(frozen=True)
class Weights:
    """Weights of several clients by "module/parameter", and the places of the clients that have each."""

    groups: tuple[Group, ...]
    frozen: Mapping[str, Tensor]
    places: Mapping[str, np.ndarray]
    count: int

    @classmethod
    def of(cls, clients: Sequence[Tensors], trained: Collection[str] = ()) -> Weights:
        """Stacked copies of what is *trained*; the rest, where all share it, is one tensor seen many times."""
        places = _places(clients)
        frozen = {
            key: _stacked([clients[i][key] for i in where]) for key, where in places.items() if key not in trained
        }
        together: dict[object, list[str]] = {}
        for key in sorted(key for key in places if key in trained):
            own = clients[places[key][0]][key]
            alone = key if own.numel() > LARGE else ""
            together.setdefault((alone, places[key].tobytes(), own.dtype, own.device), []).append(key)
        groups = tuple(_group(clients, keys, places[keys[0]]) for keys in together.values())
        return cls(groups, frozen, places, len(clients))

    def first(self, active: int) -> Front:
        """The first *active* clients, and who holds what among them."""
        counts = {key: int(np.searchsorted(where, active)) for key, where in self.places.items()}
        holders = tuple(counts[group.keys[0]] for group in self.groups)
        leaves: dict[str, Tensor] = {}
        for group, count in zip(self.groups, holders, strict=True):
            if count:
                leaves |= {k: v.detach().requires_grad_() for k, v in group.views(group.flat[:count]).items()}
        values = {key: value[: counts[key]] for key, value in self.frozen.items() if counts[key]} | leaves
        rows: dict[str, Tensor] = {}
        for key, where in self.places.items():
            if counts[key] < active and counts[key]:
                rows[key] = torch.from_numpy(where[: counts[key]]).to(values[key].device)
                rows.setdefault(module(key), rows[key])
        values = {key: values[key] for key in self.places if key in values}
        return Front(nest(values), leaves, Stack(active, rows), holders, values)

    def companions(self, beside: Sequence[Mapping[str, Tensors]]) -> dict[str, dict[str, Tensor]]:
        """What clients have *beside* the keys that they train, by name, stacked as these are; all have the same."""
        trained = {key: group.places for group in self.groups for key in group.keys}
        return {
            name: {
                key: _stacked([beside[i][name][key] for i in places])
                for key, places in trained.items()
                if key in beside[places[0]][name]
            }
            for name in beside[0]
        }

    def own(self, keys: Collection[str]) -> list[dict[str, Tensor]]:
        """Those of *keys* that each client trained, apart from the stack's memory."""
        out: list[dict[str, Tensor]] = [{} for _ in range(self.count)]
        for group in self.groups:
            for key, value in group.views(group.flat).items():
                if key in keys:
                    rows: Sequence[Tensor] = torch.unbind_copy(value)  # type: ignore[func-returns-value, assignment]
                    for place, row in zip(group.places, rows, strict=True):
                        out[place][key] = row
        return out


def _places(clients: Sequence[Tensors]) -> dict[str, np.ndarray]:
    """Where the holders of each key are, keys in the order in which they first appear."""
    everyone = np.arange(len(clients))
    first = clients[0].keys()
    if all(client.keys() == first for client in clients):
        return dict.fromkeys(clients[0], everyone)
    keys = dict.fromkeys(key for client in clients for key in client)
    return {key: np.array([i for i, client in enumerate(clients) if key in client]) for key in keys}


def _stacked(own: Sequence[Tensor]) -> Tensor:
    shared = all(t is own[0] for t in own)
    return own[0].expand(len(own), *own[0].shape) if shared else torch.stack(list(own))


def _group(clients: Sequence[Tensors], keys: Sequence[str], places: np.ndarray) -> Group:
    holders = [clients[i] for i in places]
    first = [holders[0][key] for key in keys]
    shapes = tuple(value.shape for value in first)
    flat = first[0].new_empty(len(places), sum(value.numel() for value in first))
    group = Group(places, tuple(keys), shapes, flat, torch.from_numpy(places).to(flat.device))
    for key, view in group.views(flat).items():
        own = [holder[key] for holder in holders]
        view.copy_(own[0] if all(t is own[0] for t in own) else torch.stack(own))
    return group
