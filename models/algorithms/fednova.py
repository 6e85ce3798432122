"""Updates by their steps, so that who takes many steps does not pull the others along."""

from models.federation.algorithm import Algorithm, Setting
from models.federation.local import Extra, Trainer, combined
from models.federation.tally import VALUE, Reports, Result, Tally, single
from models.model import Tensors, ballot
from models.optimizers import SGD
from models.states import State

STEPS = "effective_steps"


def effective(steps: int, momentum: float) -> float:
    """a = [tau - rho (1 - rho^tau) / (1 - rho)] / (1 - rho) of tau steps with momentum rho: what a gradient counts."""
    rest = 1 - momentum
    return (steps - momentum * (1 - momentum**steps) / rest) / rest if momentum else float(steps)


def local(state: State, train: Trainer) -> tuple[Tensors, Extra]:
    """Train, and count the steps since a model came down."""
    optimizer, before = train.recipe.optimizer, state.extra.get(STEPS, {})
    steps = single(effective(train.steps, getattr(optimizer, "momentum", 0.0)))
    since = combined((VALUE,), (before,), lambda key: before[key] + steps[key]) if before else steps
    return train(state.tensors), {**state.extra, STEPS: since}


def normalized(tally: Tally) -> Result:
    """w + tau_eff sum p_i D_i / a_i with tau_eff = sum p_i a_i; the node itself has then taken tau_eff steps."""
    weights = {}
    for key in tally.keys:
        voters = tally.voters(key)
        votes, steps = [vote.weigh(ballot(key)) for vote in voters], [tally.figure(vote, STEPS, 1.0) for vote in voters]
        mean = sum(n * a for n, a in zip(votes, steps, strict=True)) / sum(votes)
        weights[key] = tally.moved(key, [n * (mean / a) for n, a in zip(votes, steps, strict=True)], sum(votes))
    before = tally.own.extra.get(STEPS)
    return weights, {STEPS: single(tally.mean_figure(STEPS) + (float(before[VALUE]) if before else 0.0))}


def check(setting: Setting) -> None:
    """What a step counts is known of SGD only."""
    if not isinstance(setting.recipe.optimizer, SGD):
        raise ValueError("fednova needs SGD, with or without momentum: learning.optimizer: {name: sgd}")


def fednova() -> Algorithm:
    """FedNova: the mean of updates per step, so unequal work does not bias it (Wang et al. 2020, arXiv 2007.07481).

    A report has the number of effective steps since a model came down, that of an edge their mean over its children,
    summed over its gatherings. Momentum begins anew in each local training.
    """
    return Algorithm(local=local, rule=Reports(normalized, (STEPS,)), figures=(STEPS,), check=check)
