"""Fairness by a power of the loss."""

from dataclasses import dataclass
from functools import partial

from models.algorithms._knobs import not_negative, positive
from models.algorithms._losses import LOSS, local, noted
from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally, one, single
from models.states import Vote


@dataclass(frozen=True, slots=True)
class Fair:
    """D_i = L (w - w_i); h_i = q F_i^(q-1) ||D_i||^2 + L F_i^q; w <- w - sum F_i^q D_i / sum h_i; all by L here."""

    q: float
    lipschitz: float

    def __call__(self, tally: Tally) -> Result:
        """The norm goes over all that a report has a say in, each sum over who has a say in a weight."""
        says, steps, largest = {}, {}, max(map(partial(_loss, tally), tally.votes), default=1.0)
        for vote in tally.votes:
            says[id(vote)], steps[id(vote)] = self._say(tally, vote, largest)
        weights = {}
        for key in tally.keys:
            voters = tally.voters(key)
            total = sum(steps[id(vote)] for vote in voters)
            weights[key] = tally.moved(key, [says[id(vote)] for vote in voters], total)
        return weights, {LOSS: single(noted(tally, tally.mean_figure(LOSS)))}

    def _say(self, tally: Tally, vote: Vote, largest: float) -> tuple[float, float]:
        if not self.q:
            return one(vote), one(vote)
        loss = _loss(tally, vote) / largest  # both says by one power of it: their ratio stays, and none overflows
        say = loss**self.q
        slope = self.q * loss ** (self.q - 1) * self.lipschitz * tally.square(vote) / largest
        return one(vote) * say, one(vote) * (slope + say)


def _loss(tally: Tally, vote: Vote) -> float:
    return tally.figure(vote, LOSS) + 1e-10  # as the authors' code has it: nobody's is zero


def qffl(q: float = 1.0, lipschitz: float = 10.0) -> Algorithm:
    """q-FFL by q-FedAvg: who has a larger loss counts more, by its power q (Li et al. 2020, arXiv 1905.10497).

    *lipschitz* is the paper's L, by its advice 1 over the clients' learning rate. Every report counts alike, whatever
    its samples, so q = 0 is uniform averaging. A report has the loss at the model that came down; that of an edge their
    mean by samples, of its first gathering. So there is fairness among the children of every node, each with its own.
    """
    not_negative("qffl", q=q)
    positive("qffl", lipschitz=lipschitz)
    return Algorithm(local=local, rule=Reports(Fair(q, lipschitz), (LOSS,)), figures=(LOSS,))
