"""How much consensus does a hierarchy need, and when does it save energy?

MH-FL (Hosseinalipour et al., arXiv 2007.09511) on a strongly convex quadratic: 60 devices in 12 clusters, these in 3,
these in one under the root. In every cluster, a ring, all mix z = votes x weights for theta rounds, and one that is
drawn by lot reports for all. Linear regression on data that differ from device to device, one step on all samples a
round, float64. Adaptive: theta by the law of a linear rate, whose tolerance falls with the squared gradient. Gap: the
pooled mean squared error at the root above that of least squares. A transfer takes 0.25 s, an uplink 250 mW, D2D 10 mW.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.lines import Line2D

from experiments.collector import seldom_collecting
from experiments.figures.style import BLACK, BLUE, GREEN, ORANGE, RC, RED, SKY, Legend, place, save, sheet
from experiments.learning import depths
from experiments.questions.asking import Row, ask
from experiments.workload import LearningWorkload
from models.data.samples import Client, Samples, Study, Task
from models.data.streams import stream
from models.learner import Learner
from models.linear import LinearModel
from models.model import initial
from models.objectives import Supervised
from models.optimizers import SGD
from models.training import Recipe
from simulator.costs import Costs
from simulator.plan import Evaluate, Plan, Stage, TierPlan
from simulator.records import Log
from simulator.run import simulate
from simulator.sideways.consensus import Consensus
from simulator.sideways.laws import Layers, LinearRate
from topologies.hierarchy import Hierarchy
from topologies.profiles import LinkProfile
from topologies.schools import district
from topologies.sideways import join, ring

QUESTION = "How much consensus does a hierarchy need, and when does it save energy?"
FEATURES, SECONDS = 8, 0.25
MODEL = LinearModel({"record": (FEATURES,)}, {"score": Task("score")})
(HEAD,) = MODEL.modules
BITS_PER_S = 8 * 8 * (FEATURES + 1) / SECONDS  # of float64
UPLINK, D2D = (
    LinkProfile(n, "d2d", BITS_PER_S, BITS_PER_S, transmit_watts=w) for n, w in (("up", 0.25), ("d2d", 0.01))
)
PAPER = Costs(compute=False, downlink=False, receive=False, idle=False)
ADAPTIVE, NONE = "adaptive", "none: all report"
NAMED = (ADAPTIVE, NONE)
THETAS, SEED, MIXING = (1, 2, 5, 15), 1, 75  # nodes that mix: 60 + 12 + 3
LOOKS = ((RED, "o"), (ORANGE, "s"), (SKY, "^"), (BLUE, "v"), (GREEN, "D"), (BLACK, "x"))
Theta = int | str


def network() -> Hierarchy:
    """60 devices, 12/3/1; every cluster a ring."""
    tree = district(3, 4, 5, access=UPLINK, campus_link=UPLINK, cloud_link=UPLINK, cloud=None)
    for node in (node for tier in tree.tiers[:-1] for node in tree.nodes(tier)):
        join(tree, ring(tree.children(node)), D2D)
    return tree


def study(devices: Sequence[str], seed: int) -> Study:
    """10 to 30 samples for each, whose true weights differ from the others'; pooled, they are the test set."""
    rng = stream(seed, "quadratic", "")
    common, clients = rng.normal(size=FEATURES), {}
    for device in devices:
        x, own = rng.normal(size=(int(rng.integers(10, 31)), FEATURES)), common + rng.normal(size=FEATURES)
        y = x @ own + 0.1 * rng.normal(size=len(x))
        samples = Samples({"record": torch.from_numpy(x)}, {"score": torch.from_numpy(y)})
        clients[device] = Client(samples, samples)
    every = [client.train for client in clients.values()]
    pooled = Samples(
        {"record": torch.cat([s.inputs["record"] for s in every])},
        {"score": torch.cat([s.targets["score"] for s in every])},
    )
    return Study(MODEL.shapes, MODEL.tasks, clients, pooled)


def law(tier: str, data: Study) -> LinearRate:
    """With the curvatures of the pooled loss; 12, 3 and 1 nodes gather, 16 together."""
    x = np.c_[data.test.inputs["record"].numpy(), np.ones(len(data.test))]
    curvatures = np.linalg.eigvalsh(2 * x.T @ x / len(x))
    mu, eta = float(curvatures[0]), float(curvatures[-1])
    above = {"classroom": 12, "campus": 3, "cloud": 1}[tier]
    return LinearRate(mu / (2 * eta), mu, eta, Layers(len(x), 16, FEATURES + 1, above, 3))


@cache
def learned(theta: Theta, seed: int, rounds: int, rate: float, energy: Any = "link") -> tuple[Log, Study]:
    """What happened in so many rounds of the root, by steps of size *rate*."""
    tree = network()
    data, tiers = study(tuple(tree.lowest), seed), tree.tiers[:-1]

    def peers(tier: str) -> Consensus[Any] | None:
        return None if theta == NONE else Consensus(law(tier, data) if isinstance(theta, str) else theta, energy=energy)

    plan = Plan({t: TierPlan((HEAD,), rounds if t == tree.tiers[0] else 1, peers=peers(t)) for t in tiers})
    start = initial(MODEL, seed, torch.float64)
    recipes = {"learn": Recipe(Supervised(), SGD(rate), 1, 30, trainable=frozenset([HEAD]))}
    holds = dict.fromkeys(tree.nodes(), frozenset(start))
    learner = Learner(MODEL, data, holds, recipes, seed=seed, depths=depths(tree), start=start)
    with seldom_collecting():
        log = simulate(
            tree,
            LearningWorkload(learner),
            [Stage("learn", plan, "device", (HEAD,))],
            costs=PAPER,
            seed=seed,
            evaluate=Evaluate(tiers=("cloud",), moments=("after_merge",)),
            final_broadcast=False,
        )
    return log, data


def gaps(log: Log, data: Study) -> np.ndarray:
    """After every round, how far the root's pooled error is above the least there is."""
    x, y = data.test.inputs["record"].numpy(), data.test.targets["score"].numpy()
    x = np.c_[x, np.ones(len(x))]
    least = np.mean((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2)
    return np.array([metric.value for metric in log.metrics]) - least


def costs(log: Log, rounds: int) -> dict[str, float]:
    """Messages, and joules where D2D is counted for each link, or once for all neighbours that a broadcast reaches."""
    spans = log.frame("spans")
    sent = spans[spans["kind"] == "transmit"]
    up, beside = sent[sent["activity"] == "up"], sent[sent["activity"] == "sideways"]
    once = beside.drop_duplicates(["node", "start_s"])  # neighbours are sent to at the same time, at the same rate
    joules = {name: float(up["joules"].sum() + s["joules"].sum()) for name, s in (("link", beside), ("cast", once))}
    return {
        "D2D rounds": len(once) / MIXING / rounds,
        "uplinks": float(len(up)),
        "energy per link J": joules["link"],
        "energy per broadcast J": joules["cast"],
    }


def answer(quick: bool) -> Sequence[Row]:
    """A row per theta: the gap on the way and at the end, rounds of D2D per cluster and round, messages and energy."""
    rounds, rate, thetas = (8, 0.3, THETAS[:3]) if quick else (60, 0.08, THETAS)
    rows = []
    for theta in (*thetas, ADAPTIVE, NONE):
        log, data = learned(theta, SEED, rounds, rate)
        curve = gaps(log, data)
        quarters = {f"gap {r}": float(curve[r - 1]) for r in range(rounds // 4, rounds + 1, rounds // 4)}
        rows.append({"theta": str(theta), **quarters, **costs(log, rounds)})
    return rows


@rc_context(RC)
def draw(folder: Path, rows: Sequence[Row], quick: bool) -> None:
    """The gap over the rounds, and what the last gap took in energy by both ways of counting."""
    keys = [key for key in rows[0] if key.startswith("gap")]
    rounds, last = [int(key.split()[1]) for key in keys], keys[-1]
    marks = [Line2D([], [], color=c, marker=m) for c, m in LOOKS[: len(rows)]]
    legend = Legend(marks, [row["theta"] if row["theta"] in NAMED else f"θ = {row['theta']}" for row in rows], 6.0)
    figure = sheet(legend.height + 47)
    legend.draw(figure)
    gap, cost = (place(figure, left, legend.height + 1, 31, 36) for left in (12, 55))
    for row, (colour, mark) in zip(rows, LOOKS, strict=False):
        gap.plot(rounds, [row[key] for key in keys], color=colour, marker=mark)
        values = [row["energy per broadcast J"], row["energy per link J"]]
        cost.plot(values, [row[last]] * 2, color=colour, marker=mark, markevery=[0])
        cost.plot(values[1], row[last], color=colour, marker=mark, markerfacecolor="white")
    gap.set(yscale="log", xlabel="round", ylabel="optimality gap", xticks=rounds)
    cost.set(yscale="log", xlabel="energy (J): full per broadcast,\nhollow per link", xlim=(0, None))
    for ax in (gap, cost):
        ax.grid()
        ax.minorticks_off()
    save(figure, folder, "mhfl_consensus")


if __name__ == "__main__":
    ask(QUESTION, answer, draw)
