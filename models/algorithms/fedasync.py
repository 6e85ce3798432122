"""Every report moves the model when it comes."""

from dataclasses import dataclass

from models.algorithms._knobs import not_negative, share
from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally


@dataclass(frozen=True, slots=True)
class OneByOne:
    """w <- (1 - a_t) w + a_t w_i for each report in order, a_t = a (1 + staleness)^-p."""

    rate: float
    power: float

    def __call__(self, tally: Tally) -> Result:
        """Every report counts alike."""
        weights = {}
        for key in tally.keys:
            value = tally.own.tensors[key]
            for vote in tally.voters(key):
                rate = self.rate * (1 + vote.staleness) ** -self.power
                value = value * (1 - rate) + vote.state.tensors[key] * rate
            weights[key] = value
        return weights, {}


def fedasync(rate: float = 0.6, power: float = 0.5) -> Algorithm:
    """FedAsync: each report is mixed in as it comes, less if its model was old (Xie et al. 2019, arXiv 1903.03934).

    *rate* is the paper's alpha, *power* that of its polynomial staleness. Meant for plans in which a node waits for the
    first report only; of several that it gathers at once, the later in child order count more.
    """
    share("fedasync", rate=rate)
    not_negative("fedasync", power=power)
    return Algorithm(rule=Reports(OneByOne(rate, power)), needs=(("late", "keep"),))
