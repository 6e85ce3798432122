"""Low-rank adapters whose products are averaged, not their factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.adapters import LoRA
from models.algorithms._knobs import positive
from models.algorithms._lora import FIRST, second_of, weight_of
from models.federation.algorithm import Algorithm, Setting
from models.federation.local import Extra, Trainer
from models.federation.tally import Result, Tally, tallied
from models.model import Tensors, module
from models.promises import lazily, plain
from models.states import Direction, State, Vote

MAPS, FACTORS = "maps", "factors"  # by factor A, the map that it works beside; whose factors were folded in last


@dataclass(frozen=True, slots=True)
class Stacked:
    """W <- W + sum p_i (W_i - W_i' + c A_i B_i) - c A B, c = *alpha* / rank; A and B stay as they were sent down.

    W_i is what a node that gathers itself has made of W_i', which it was sent; a device has changed nothing in it.
    """

    alpha: float | None

    def __call__(
        self, own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
    ) -> State:
        """Other weights by votes."""
        some = set(modules)
        tally = Tally(own, received, registered, [key for key in own.tensors if module(key) in some])
        pairs = [key for key in tally.keys if _folded(key, own.tensors)]
        known = dict.fromkeys([*own.extra.get(MAPS, ()), *pairs])
        who = [name for vote in received for name in vote.state.extra.get(FACTORS, (_name(vote),))]
        extra = {MAPS: known, FACTORS: dict.fromkeys(who)} if pairs else {}

        def compute(tally: Tally) -> Result:
            apart = {*pairs, *map(second_of, pairs)}
            weights = {key: tally.mean(key) for key in tally.keys if key not in apart}
            maps = {key: self.folded(tally, key) for key in pairs}
            before = own.extra.get(MAPS, {})
            weights |= {weight_of(key): value for key, value in maps.items()}
            return weights, {MAPS: {**{key: before[key] for key in before}, **maps}, FACTORS: _names(who)}

        return tallied(own, received, modules, registered, compute, extra)

    def folded(self, tally: Tally, key: str) -> Tensor:
        """A map of the trunk with what the voters' factors do beside it."""
        own = tally.own.tensors
        total = weight = own[weight_of(key)]
        for vote, share in zip(tally.voters(key), tally.shares(key), strict=True):
            change = self.product(plain(vote.state.tensors), key)
            if key in vote.state.extra.get(MAPS, {}):  # it has folded itself, into what it was sent
                base = vote.state.base.extra.get(MAPS, {}) if vote.state.base else {}
                change = change + (vote.state.extra[MAPS][key] - base.get(key, weight))
            total = total + change * share
        return total - self.product(own, key)

    def product(self, tensors: Tensors, key: str) -> Tensor:
        """What two factors do."""
        a, b = tensors[key], tensors[second_of(key)]
        return a @ b if self.alpha is None else (a @ b) * (self.alpha / a.shape[-1])


def _folded(key: str, own: Tensors) -> bool:
    return key.endswith(FIRST) and module(key) == "adapter" and second_of(key) in own and weight_of(key) in own


def _name(vote: Vote) -> str:
    return vote.sender.replace("/", " ")  # what has a slash is taken for a weight


def _names(who: Sequence[str]) -> dict[str, Tensor]:
    return {name: torch.zeros(()) for name in who}


def local(state: State, train: Trainer) -> tuple[Tensors, Extra]:
    """A client sends its own factors and nothing else."""
    return train(state.tensors), {name: values for name, values in state.extra.items() if name not in (MAPS, FACTORS)}


def arrives(before: State, after: State) -> State:
    """The maps of a model that came down replace the own."""
    maps = after.base.extra.get(MAPS, {}) if after.base else {}
    new = {weight_of(key): key for key in maps if weight_of(key) in after.tensors}
    if not new:
        return after
    own = after.tensors
    tensors = lazily(own, (own, maps), lambda: {key: maps[new[key]] if key in new else own[key] for key in own})
    return replace(after, tensors=tensors)


def charge(state: State, sizes: Mapping[str, int]) -> int:
    """Factors beside one's own: of all who reported last, their own, which a node that gathers keeps, not counted."""
    own = sum(size for key, size in sizes.items() if key in pairs(sizes))
    return own * (len(state.extra[FACTORS]) - 1) if FACTORS in state.extra else 0


@dataclass(frozen=True, slots=True)
class Fitting:
    """Refuses a model without low-rank maps beside a frozen trunk, or with others than those of *alpha*."""

    alpha: float | None

    def __call__(self, setting: Setting) -> None:
        """ValueError says what it needs."""
        lora = getattr(setting.model, "adapters", None)
        if not isinstance(lora, LoRA):
            raise ValueError("flora needs low-rank maps in a model of our own: adapters: {kind: lora}")
        if "trunk" in setting.recipe.trainable:
            raise ValueError("flora folds adapters into the trunk, which must be frozen: leave it out of trainable")
        if (self.alpha or lora.rank) != (lora.alpha or lora.rank):
            raise ValueError(f"flora: alpha must be that of the model's adapters, {lora.alpha or 'none'}")


def pairs(keys: Mapping[str, int]) -> set[str]:
    """The factors among *keys*."""
    first = {key for key in keys if key.endswith(FIRST) and module(key) == "adapter"}
    return first | {second_of(key) for key in first}


def flora(alpha: float | None = None) -> Algorithm:
    """FLoRA: factors are stacked, which is the exact mean of their products (Wang et al. 2024, arXiv 2409.05976).

    For ``adapters: {kind: lora}``; *alpha* as there. A node that gathers folds the products into its copy of the trunk,
    and adapters start anew from the factors with which training began. What travels between it and others is charged as
    the factors of all devices that reported to it last; a broadcast brings the maps they add up to, so who missed one
    has all of it with the next. Simplified are three things: who has missed broadcasts is charged for the last only, an
    edge that gathers several times reports the factors of the last, and adapters start from one draw and not a new one.
    """
    if alpha is not None:
        positive("flora", alpha=alpha)
    sent = MAPS, FACTORS
    return Algorithm(local, Stacked(alpha), up=sent, down=sent, arrives=arrives, charge=charge, check=Fitting(alpha))
