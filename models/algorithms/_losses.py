"""Reports that say how large the loss was at the model that came down."""

from models.federation.local import Extra, Trainer
from models.federation.tally import Tally
from models.model import Tensors
from models.states import State

LOSS = "loss"


def local(state: State, train: Trainer) -> tuple[Tensors, Extra]:
    """Note the loss of the first training since a model came down, and train."""
    extra = state.extra if LOSS in state.extra else {**state.extra, LOSS: train.loss(state.tensors)}
    return train(state.tensors), extra


def noted(tally: Tally, now: float) -> float:
    """What an inner node reports: the loss of its first gathering since a model came down."""
    before = tally.own.extra.get(LOSS)
    return now if before is None else float(before["value"])
