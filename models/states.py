"""What a node knows, and how copies become one: all aggregation arithmetic is here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from models.means import weighted_sum
from models.model import Tensors, ballot, module
from models.promises import Promise, lazily, plain

Direction = Literal["up", "down", "sideways", "pool", "level"]


@dataclass(frozen=True)
class State:
    """One node's copy of its modules.

    *tensors* by "module/parameter". *samples*: votes per module that is held (of an offset: per task); training adds,
    delivery of a report resets, a parent adds what arrives until it reports, a merge down changes none. *base* is what
    the last merge down brought; a report refers to its sender's. *extra*: by name what an algorithm keeps or sends
    beside the weights (control variates, moments, residuals), each by "module/parameter" or whatever its keys are.
    """

    tensors: Tensors
    samples: Mapping[str, float]
    base: State | None = None
    extra: Mapping[str, Tensors] = field(default_factory=dict)

    def only(self, keys: Collection[str]) -> State:
        """The part that travels: these tensors, and the votes of their modules."""
        tensors = self.tensors
        mine = [key for key in tensors if key in keys]
        if len(mine) == len(tensors):
            return State(tensors, self.samples, self.base)

        def compute() -> dict[str, Tensor]:
            return {key: self.tensors[key] for key in mine}

        whole = plain(tensors)
        if isinstance(whole, Promise) and whole.costly:  # and nobody may ever look at more than the size
            tensors = Promise(mine, whole.depth, whole.wave, compute)
        else:
            tensors = lazily(mine, [tensors], compute)
        names = set(map(ballot, mine))
        return State(tensors, {name: votes for name, votes in self.samples.items() if name in names}, self.base)

    def reported(self, modules: Collection[str], tensors: Tensors, sent: Collection[str] = ()) -> State:
        """What the sender holds once a report of *modules* is delivered: no votes on them, and *tensors*, its own.

        Of its extra, what was *sent* is gone.
        """
        samples = {name: n for name, n in self.samples.items() if module(name) not in modules}
        extra = {name: values for name, values in self.extra.items() if name not in sent} if sent else self.extra
        return State(tensors, samples, self.base, extra)


@dataclass(frozen=True)
class Vote:
    """A copy that arrived. *weight* None: its votes count, module by module; else it is used as given.

    Of *uniform* modules every copy that has votes counts as one.
    """

    sender: str
    state: State
    staleness: int = 0
    weight: float | None = None
    uniform: frozenset[str] = frozenset()

    def weigh(self, name: str) -> float:
        """The say of this copy under a ballot's *name*."""
        if self.weight is not None:
            return self.weight
        votes = float(self.state.samples.get(name, 0))
        return float(votes > 0) if module(name) in self.uniform else votes


def everything(key: str) -> bool:
    """All weights travel."""
    return True


Rule = Callable[[State, Sequence[Vote], Sequence[str], Direction, int], State]


def by_votes(
    own: State, received: Sequence[Vote], modules: Sequence[str], direction: Direction, registered: int
) -> State:
    """The mean by votes, module by module (McMahan et al. 2017); where nobody voted the own copy stays.

    Sideways, a given weight of a copy that lacks something falls to the own copy: the rest of a row of a mixing matrix.
    """
    names, beside = set(modules), direction != "up"
    wanted = [key for key in own.tensors if module(key) in names]

    def compute() -> dict[str, Tensor]:
        copies = [plain(vote.state.tensors) for vote in received]
        weights = {name: [vote.weigh(name) for vote in received] for name in map(ballot, wanted)}
        means = {}
        for key in wanted:
            says = weights[ballot(key)]
            some = [(copy[key], say) for copy, say in zip(copies, says, strict=True) if say and key in copy]
            rest = _missing(key, received, copies) if beside else 0.0
            means[key] = _mean(some, own.tensors[key], rest)
        return {key: means.get(key, value) for key, value in own.tensors.items()}

    needs = [own.tensors, *(vote.state.tensors for vote in received)]
    return replace(own, tensors=lazily(own.tensors, needs, compute))


def _missing(key: str, received: Sequence[Vote], copies: Sequence[Tensors]) -> float:
    """The given weights of copies that lack something."""
    return sum(vote.weight or 0.0 for vote, copy in zip(received, copies, strict=True) if key not in copy)


def _mean(some: Sequence[tuple[Tensor, float]], own: Tensor, rest: float) -> Tensor:
    """In the order given: float sums see the order. The *rest* of the weights is that of the *own* copy."""
    if rest:
        some = [*some, (own, rest)]
    total = sum(weight for _, weight in some)
    if total <= 0 or (rest and all(value is own for value, _ in some)):
        return own
    return weighted_sum([value for value, _ in some], [weight / total for _, weight in some])


def merge(
    own: State,
    received: Sequence[Vote],
    modules: Sequence[str],
    direction: Direction,
    rule: Rule = by_votes,
    registered: int | None = None,
    mix: float = 1.0,
    carries: Callable[[str], bool] = everything,
) -> State:
    """*own* with *modules* replaced by what *rule* makes of what was received.

    Up, the votes that arrive are added to the node's own until it reports. Down, the parent's copy becomes its base and
    replaces the own one, or of *mix* below 1 so much of it is mixed in. Sideways, the caller lists the own copy among
    *received*, and the mean is by weights or votes whatever the rule. To pool is the same, and the votes of all become
    the node's own. To level gives a node the mean vote of those that hold a module, and scales its weights so that
    votes x weights stays. Votes are of weights that *carries* says travel. *registered* is how many children there are,
    had all reported.
    """
    if direction == "down":
        (vote,) = received
        return _replaced(own, vote.state, set(modules), mix)
    some = set(modules)
    keys = [key for key in own.tensors if module(key) in some and carries(key)]
    if direction == "level":
        return _levelled(own, received, keys)
    votes = {name: sum(v.state.samples.get(name, 0) for v in received) for name in set(map(ballot, keys))}
    if direction != "up":
        out = by_votes(own, received, modules, direction, len(received))
        return replace(out, samples={**own.samples, **votes}) if direction == "pool" else out
    out = rule(own, received, modules, direction, len(received) if registered is None else registered)
    votes = {name: own.samples.get(name, 0) + n for name, n in votes.items()}
    return State(out.tensors, {**own.samples, **{name: n for name, n in votes.items() if n}}, out.base, out.extra)


def _levelled(own: State, received: Sequence[Vote], keys: Sequence[str]) -> State:
    """Of *keys*, the mean vote of those that have them, and weights so scaled that say x weights stays."""
    me, samples, scales = Vote("", own, uniform=received[0].uniform), {**own.samples}, dict[str, float]()
    for name, key in {ballot(key): key for key in keys}.items():
        there = [vote for vote in received if key in vote.state.tensors]
        if mean := sum(vote.weigh(name) for vote in there) / len(there):
            scales[name] = me.weigh(name) / mean
            samples[name] = sum(vote.state.samples.get(name, 0) for vote in there) / len(there)
    scaled = {key: scales.get(ballot(key), 1.0) for key in keys}

    def compute() -> dict[str, Tensor]:
        named = ((key, scaled.get(key, 1.0), value) for key, value in own.tensors.items())
        return {key: value if scale == 1 else value * scale for key, scale, value in named}

    return replace(own, tensors=lazily(own.tensors, [own.tensors], compute), samples=samples)


def _replaced(own: State, other: State, modules: set[str], mix: float) -> State:
    mine, theirs = own.tensors, other.tensors
    keys = {key for key in mine if key in theirs and module(key) in modules}

    def compute() -> dict[str, Tensor]:  # asks *own* for no more than stays: what is replaced need not be known
        if mix == 1:
            return {key: (theirs if key in keys else mine)[key] for key in mine}
        return {key: mine[key] * (1 - mix) + theirs[key] * mix if key in keys else mine[key] for key in mine}

    whole = mix == 1 and len(keys) == len(mine) == len(theirs) and getattr(theirs, "shared", True)
    tensors = theirs if whole else lazily(mine, [mine, theirs], compute)
    return State(
        tensors, own.samples, _base(own.base, other), {**own.extra, **other.extra} if other.extra else own.extra
    )


def _base(before: State | None, other: State) -> State:
    """What has been brought down so far: of what *other* does not bring, what came *before*."""
    older = {} if before is None else before.tensors
    if all(map(other.tensors.__contains__, older)):
        return other if other.base is None else State(other.tensors, other.samples, None, other.extra)

    def compute() -> dict[str, Tensor]:
        return {**{key: older[key] for key in older}, **{key: other.tensors[key] for key in other.tensors}}

    keys = dict.fromkeys((*older, *other.tensors))
    extra = {**(before.extra if before else {}), **other.extra}
    return State(lazily(keys, [older, other.tensors], compute), other.samples, None, extra)
