"""No update counts for more than a certain length."""

from dataclasses import dataclass, replace
from math import isfinite

from models.algorithms._knobs import positive
from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally
from models.model import ballot


@dataclass(frozen=True, slots=True)
class Clipped:
    """w + sum p_i D_i min(1, C / ||D_i||), the norm over all that a report has a say in."""

    norm: float

    def __call__(self, tally: Tally) -> Result:
        """Votes count as ever; where nothing is clipped, these are the bits of the mean.

        A report that is not finite has no length to clip, and no say.
        """
        lengths = {id(vote): tally.square(vote) ** 0.5 for vote in tally.votes}
        tally = replace(tally, votes=[vote for vote in tally.votes if isfinite(lengths[id(vote)])])
        factors = {id(vote): self.factor(lengths[id(vote)]) for vote in tally.votes}
        weights = {}
        for key in tally.keys:
            votes = [(vote.weigh(ballot(key)), factors[id(vote)]) for vote in tally.voters(key)]
            weights[key] = tally.moved(key, [n * factor for n, factor in votes], sum(n for n, _ in votes))
        return weights, {}

    def factor(self, length: float) -> float:
        """By which an update of a length is shortened."""
        return 1.0 if length <= self.norm else self.norm / length


def norms(numbers: int, copies: int) -> float:
    """Three operations for each number."""
    return 3.0 * numbers * copies


def norm_clip(norm: float = 1.0) -> Algorithm:
    """Norm clipping: updates are shortened to a 2-norm before the mean (Sun et al. 2019, arXiv 1911.07963).

    Every tier shortens what its own children report.
    """
    positive("norm_clip", norm=norm)
    return Algorithm(rule=Reports(Clipped(norm)), extra_flops=norms)
