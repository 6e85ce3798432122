"""A buffer of reports, old ones counting less."""

from dataclasses import dataclass

from models.algorithms._knobs import positive
from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally, one


@dataclass(frozen=True, slots=True)
class Buffered:
    """w += (eta_g / K) sum s_i D_i of K reports, s = (1 + staleness)^-1/2."""

    server_lr: float

    def __call__(self, tally: Tally) -> Result:
        """Every report counts alike; K of a weight are those who have a say in it."""
        weights = {}
        for key in tally.keys:
            voters = tally.voters(key)
            says = [one(vote) * self.server_lr * (1 + vote.staleness) ** -0.5 for vote in voters]
            weights[key] = tally.moved(key, says, sum(map(one, voters)))
        return weights, {}


def fedbuff(server_lr: float = 1.0) -> Algorithm:
    """FedBuff: updates of the first K to report, however old their model (Nguyen et al. 2022, arXiv 2106.06639).

    How many are K is up to the plan: ``wait: {first: K}, late: keep``. All fresh and with a rate of 1, it is the
    uniform mean, bit for bit. Every tier that gathers does so.
    """
    positive("fedbuff", server_lr=server_lr)
    return Algorithm(rule=Reports(Buffered(server_lr)), needs=(("late", "keep"),))
