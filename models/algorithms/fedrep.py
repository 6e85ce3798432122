"""First the head on a frozen body, then the body."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.algorithms._knobs import count
from models.algorithms._staying import HEADS, Travelling, staying
from models.federation.algorithm import Algorithm
from models.federation.local import Extra, Trainer
from models.model import Tensors
from models.states import State


@dataclass(frozen=True, slots=True)
class HeadThenBody:
    """Two trainings, the second on what the first has made of the head."""

    travels: Travelling
    head_epochs: int

    def __call__(self, state: State, train: Trainer) -> tuple[Tensors, Extra]:
        """*head_epochs* of what stays, then the recipe's epochs of the rest."""
        heads = {name for name in train.trainable if self.travels.stays(name)}
        taught = train(state.tensors, only=heads, epochs=self.head_epochs)
        return train(taught, only=train.trainable - heads), state.extra


def fedrep(head_epochs: int = 5, stay: Sequence[str] = HEADS) -> Algorithm:
    """FedRep: train the head, which stays, then the body, which is averaged (Collins et al. 2021, arXiv 2102.07078).

    *stay* are the patterns of the head's modules; the body trains as long as the recipe says. On a tree every tier
    averages the body.
    """
    count("fedrep", 1, head_epochs=head_epochs)
    travels, check = staying("fedrep", stay)
    return Algorithm(local=HeadThenBody(travels, head_epochs), carries=travels, check=check)
