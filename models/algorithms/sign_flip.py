"""Clients that send the opposite of what they have learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from models.algorithms._knobs import not_negative, positive
from models.data.streams import stream
from models.federation.algorithm import Algorithm, Setting
from models.federation.local import Extra, Trainer, anchored, combined
from models.model import Tensors
from models.states import State


def _fits(node: str, pattern: str) -> bool:
    return node == pattern or fnmatchcase(node, pattern)


@dataclass(frozen=True, slots=True)
class Flipping:
    """Train as the recipe says; a flipper then holds and sends w - scale (w_i - w), w what came down."""

    clients: tuple[str, ...] | float
    scale: float

    def __call__(self, state: State, train: Trainer) -> tuple[Tensors, Extra]:
        """Before anything has come down, w is what the node began with. What it does not train stays."""
        learned = train(state.tensors)
        if not self.flips(train.job.node, train.job.seed):
            return learned, state.extra
        own, base = state.tensors, anchored(state)
        keys = set(train.keys(own))

        def sent(key: str) -> Tensor:
            start = base[key] if key in base else own[key]
            return start - (learned[key] - start) * self.scale if key in keys else own[key]

        return combined(tuple(own), (own, learned, base), sent), state.extra

    def flips(self, node: str, seed: int) -> bool:
        """Whether a node is one of them: the same in every round and stage of a run."""
        if isinstance(self.clients, float):
            return bool(stream(seed, "sign_flip", node).random() < self.clients)
        return any(_fits(node, pattern) for pattern in self.clients)

    def check(self, setting: Setting) -> None:
        """ValueError for a name or pattern that fits no client."""
        for name in () if isinstance(self.clients, float) else self.clients:
            if not any(_fits(client, name) for client in setting.clients):
                example = next(iter(setting.clients), "none")
                raise ValueError(
                    f"sign_flip: clients: {name!r} is no client, which are those that train; one is {example}, and "
                    "patterns such as 'campus0/room0/*' name several"
                )


def sign_flip(clients: float | Sequence[str] = 0.2, scale: float = 1.0) -> Algorithm:
    """Sign flipping, an attack: some send the reverse of their update (Li et al. 2019, arXiv 1811.03761).

    *clients* are the names or patterns of those, or the share of which each is one, drawn from the run's seed node by
    node (so that their number varies). *scale*: how many times their update they go back. Goes with every merge rule
    and uplink.
    """
    positive("sign_flip", scale=scale)
    if isinstance(clients, int | float) and not isinstance(clients, bool):
        not_negative("sign_flip", clients=clients)
        if clients > 1:
            raise ValueError(f"sign_flip: clients must be at most 1, or a list of names, got {clients}")
        return _flipping(float(clients), scale)
    if isinstance(clients, str | bool) or not all(isinstance(name, str) for name in clients):
        raise ValueError(f"sign_flip: clients must be a share or a list of names, got {clients!r}")
    return _flipping(tuple(clients), scale)


def _flipping(clients: tuple[str, ...] | float, scale: float) -> Algorithm:
    flipping = Flipping(clients, scale)
    return Algorithm(local=flipping, check=flipping.check)
