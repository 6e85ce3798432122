"""What a merge rule sees when the values are known, and how its result becomes a state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from torch import Tensor

from models.means import weighted_sum
from models.model import Tensors, ballot, module
from models.states import State, Vote, lazily, plain

Result = tuple[Mapping[str, Tensor], Mapping[str, Tensors]]  # new weights, and by name the new extra


@dataclass(frozen=True)
class Tally:
    """Copies that arrived at a node, and the *keys* that are merged; *registered* children could have reported.

    A copy has a say in a key that it holds and has votes on. Keys in which none has are left out.
    """

    own: State
    votes: Sequence[Vote]
    registered: int
    wanted: Sequence[str]

    @cached_property
    def keys(self) -> list[str]:
        """Those in which somebody has a say, in the node's own order."""
        return [key for key in self.wanted if self.voters(key)]

    def voters(self, key: str) -> list[Vote]:
        """Who has a say in *key*, in child order."""
        return [vote for vote in self.votes if vote.weigh(ballot(key)) > 0 and key in vote.state.tensors]

    def shares(self, key: str) -> list[float]:
        """How much each of the voters' says is of all; 1 together."""
        weights = [vote.weigh(ballot(key)) for vote in self.voters(key)]
        return [weight / sum(weights) for weight in weights]

    def copies(self, key: str) -> list[Tensor]:
        """The voters' weights."""
        return [plain(vote.state.tensors)[key] for vote in self.voters(key)]

    def updates(self, key: str) -> list[Tensor]:
        """How far each voter has come from the model that it was sent (the node's own, if it was sent none)."""
        return [self.update(vote, key) for vote in self.voters(key)]

    def update(self, vote: Vote, key: str) -> Tensor:
        """How far one voter has come."""
        base = {} if vote.state.base is None else vote.state.base.tensors
        return vote.state.tensors[key] - (base[key] if key in base else self.own.tensors[key])

    def mean(self, key: str) -> Tensor:
        """The mean of the voters' weights by their shares, in child order."""
        return weighted_sum(self.copies(key), self.shares(key))

    def mean_update(self, key: str) -> Tensor:
        """How far the mean is from the node's own copy: the "pseudo-gradient" of Reddi et al. 2021, negated."""
        return self.mean(key) - self.own.tensors[key]

    def extra(self, name: str, key: str) -> Tensor | None:
        """What the node itself keeps under *name* for *key*, if it keeps anything yet."""
        return self.own.extra.get(name, {}).get(key)


def tallied(
    own: State,
    received: Sequence[Vote],
    modules: Sequence[str],
    registered: int,
    compute: Callable[[Tally], Result],
    extra: Mapping[str, Collection[str]] | None = None,
) -> State:
    """*own* with what *compute* makes of the copies once their values are known; *extra* are the keys of new extra.

    Keys that *compute* does not give stay as they are.
    """
    some = set(modules)
    tally = Tally(own, received, registered, [key for key in own.tensors if module(key) in some])
    states = [own, *(vote.state for vote in received)]
    needs = [state.tensors for state in states]
    needs += [values for state in states for values in state.extra.values()]
    needs += [state.base.tensors for state in states if state.base is not None]
    both = cache(lambda: compute(tally))
    tensors = lazily(own.tensors, needs, lambda: {**{key: own.tensors[key] for key in own.tensors}, **both()[0]})
    new = {name: lazily(tuple(keys), needs, _named(both, name)) for name, keys in (extra or {}).items()}
    return replace(own, tensors=tensors, extra={**own.extra, **new} if new else own.extra)


def _named(both: Callable[[], Result], name: str) -> Callable[[], Tensors]:
    return lambda: both()[1][name]
