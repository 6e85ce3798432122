"""How much work customers bring: distributions of mean 1, each with its size-biased twin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.validation.estimates import Floats

Draw = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of mean 1; *biased* draws each as often as it is large, as who looks in at a random time meets them."""

    name: str
    draw: Draw
    biased: Draw

    def rests(self, rng: np.random.Generator, count: int) -> Floats:
        """What is left of sizes that are met under way: a uniform share of a size-biased one."""
        return rng.random(count) * self.biased(rng, count)


SIGMA = math.sqrt(math.log(5.0))
SMALL, LARGE = 0.1, 3.0
VALUES, SHARES = (SMALL, 1.0, LARGE), (0.4, 0.42, 0.18)

EXPONENTIAL = Sizes("exponential", lambda rng, n: rng.exponential(1.0, n), lambda rng, n: rng.gamma(2.0, 1.0, n))
DETERMINISTIC = Sizes("deterministic", lambda rng, n: np.ones(n), lambda rng, n: np.ones(n))
ERLANG2 = Sizes("erlang-2", lambda rng, n: rng.gamma(2.0, 0.5, n), lambda rng, n: rng.gamma(3.0, 0.5, n))
LOGNORMAL4 = Sizes(  # of squared coefficient of variation 4
    "lognormal of scv 4",
    lambda rng, n: rng.lognormal(-(SIGMA**2) / 2, SIGMA, n),
    lambda rng, n: rng.lognormal(SIGMA**2 / 2, SIGMA, n),
)
THREE_SIZES = Sizes(
    "40 % of 0.1, 42 % of 1, 18 % of 3",
    lambda rng, n: rng.choice(VALUES, n, p=SHARES),
    lambda rng, n: rng.choice(VALUES, n, p=np.multiply(VALUES, SHARES)),
)
