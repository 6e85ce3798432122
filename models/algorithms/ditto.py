"""A copy of one's own beside the shared one."""

from dataclasses import dataclass

from models.algorithms._knobs import not_negative
from models.federation.algorithm import Algorithm
from models.federation.local import Extra, Toward, Trainer, anchored, combined
from models.model import Tensors, module
from models.states import State

OWN = "personal"


def personal(state: State, train: Trainer) -> Tensors:
    """The own copy of what the node trains, and the rest of its model; before any training the model itself."""
    own = state.extra.get(OWN, {})
    if not own:
        return state.tensors

    def either(key: str) -> bool:
        return key in own and module(key) in train.trainable

    source = state.tensors
    return combined(tuple(source), (source, own), lambda key: (own if either(key) else source)[key])


@dataclass(frozen=True, slots=True)
class Pair:
    """The shared model as the recipe says; then v <- v - eta (grad F(v) + lambda (v - w)), w what came down."""

    strength: float

    def __call__(self, state: State, train: Trainer) -> tuple[Tensors, Extra]:
        """Two trainings."""
        shared = train(state.tensors)
        own = train(personal(state, train), Toward(self.strength), {"anchor": anchored(state)})
        return shared, {**state.extra, OWN: own}


def ditto(lambda_: float = 0.1) -> Algorithm:
    """Ditto: a personal model near the shared one, by which a client is scored (Li et al. 2021, arXiv 2012.04221).

    The shared model is that of plain averaging. The personal one never travels; nodes that do not train have none.
    """
    not_negative("ditto", lambda_=lambda_)
    return Algorithm(local=Pair(lambda_), personal=personal)
