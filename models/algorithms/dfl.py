"""A model that comes down is mixed in."""

from models.algorithms._knobs import share
from models.federation.algorithm import Algorithm


def dfl(mix: float = 0.5) -> Algorithm:
    """DFL: what comes down late is mixed into what was learned meanwhile (after Lin et al. 2023, arXiv 2303.12414).

    w_i <- (1 - mix) w_i + mix w on every tier; 1 overwrites. Meant for plans in which devices train while models fly.
    """
    share("dfl", mix=mix)
    return Algorithm(mix=mix, needs=(("meanwhile", "train"),))
