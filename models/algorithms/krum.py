"""Only reports that have others near them."""

import math
from dataclasses import dataclass

from models.algorithms._knobs import count
from models.federation.algorithm import Algorithm
from models.federation.tally import Reports, Result, Tally
from models.means import weighted_sum
from models.states import Vote


@dataclass(frozen=True, slots=True)
class Nearest:
    """The mean of the *keep* reports whose n - *faults* - 2 nearest others are nearest, by squared distance.

    Of reports that differ in what they have a say in, the distance is that of a number that both have, on average.
    """

    faults: int
    keep: int

    def __call__(self, tally: Tally) -> Result:
        """What none of the chosen has a say in stays."""
        best = sorted(range(len(tally.votes)), key=self.scores(tally).__getitem__)[: self.keep]
        weights = {}
        for key in tally.keys:
            chosen = [tally.votes[i] for i in sorted(best) if tally.speaks(tally.votes[i], key)]
            if chosen:
                shares = [1 / len(chosen)] * len(chosen)
                weights[key] = weighted_sum([tally.arrived(vote, key) for vote in chosen], shares)
        return weights, {}

    def scores(self, tally: Tally) -> list[float]:
        """Of each report, the sum of its distances to the nearest others."""
        votes = tally.votes
        apart = {(i, j): _distance(tally, votes[i], votes[j]) for i in range(len(votes)) for j in range(i)}
        near = max(len(votes) - self.faults - 2, 1)
        rows = ([apart[max(i, j), min(i, j)] for j in range(len(votes)) if j != i] for i in range(len(votes)))
        return [math.fsum(sorted(row)[:near]) for row in rows]


def _distance(tally: Tally, one: Vote, other: Vote) -> float:
    both = [key for key in tally.keys if tally.speaks(one, key) and tally.speaks(other, key)]
    if not both:
        return math.inf
    gaps = [tally.arrived(one, key) - tally.arrived(other, key) for key in both]
    squares = [float((gap * gap).sum()) for gap in gaps]
    # what is not finite is far from all
    return sum(squares) / sum(gap.numel() for gap in gaps) if all(map(math.isfinite, squares)) else math.inf


def distances(numbers: int, copies: int) -> float:
    """Three operations for each number and pair."""
    return 1.5 * numbers * copies * (copies - 1)


def krum(faults: int = 1, keep: int = 1) -> Algorithm:
    """Krum: the reports that lie closest to others (Blanchard et al. 2017, arXiv 1703.02757).

    *faults* of all may say anything. With *keep* above 1 the mean of so many (multi-Krum). Every tier chooses among its
    own children, of which it needs *faults* + 3 and no fewer than *faults* + *keep*; the paper's guarantee needs
    2 *faults* + 3.
    """
    count("krum", 0, faults=faults)
    count("krum", 1, keep=keep)
    least = max(faults + 3, faults + keep)
    return Algorithm(rule=Reports(Nearest(faults, keep)), extra_flops=distances, least=least)
