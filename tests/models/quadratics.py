"""A federation whose clients minimise (b - target)^2, by hand: their only feature is 0, so that only a bias moves."""

from collections.abc import Mapping
from types import SimpleNamespace

import torch

from models import SGD, Client, Learner, LinearModel, Node, Recipe, Samples, Study, Supervised, Task, initial
from models.federate import Federation

MODEL = LinearModel({"record": (1,)}, {"score": Task("score")})
HEAD, BIAS = "head.score", "head.score/bias"
RATE = 0.25
PLAIN = SGD(RATE)


class Noting(Learner):
    """A learner that notes who sent how many bytes, and which weights, to whom."""

    def pack(self, node, to, state, modules):
        out = super().pack(node, to, state, modules)
        self.sent = [*getattr(self, "sent", []), (node, to, out.nbytes, set(out.wire.tensors))]
        return out


def samples(*targets):
    zeros = torch.zeros(len(targets), 1, dtype=torch.float64)
    return Samples({"record": zeros}, {"score": torch.tensor(targets, dtype=torch.float64)})


def step(bias, target, rate=RATE):
    """One step of SGD on (bias - target)^2."""
    return bias - rate * 2 * (bias - target)


def learner(algorithm, clients, *, optimizer=PLAIN, epochs=1, batch_size=4):
    """*clients*: by name, the targets of its samples; the tree is a star around "school"."""
    data = {node: Client(samples(*targets), samples(*targets)) for node, targets in clients.items()}
    study = Study({"record": (1,)}, MODEL.tasks, data, samples(0.0))
    keys = frozenset(MODEL.held(["record"], ["score"]))
    recipe = Recipe(Supervised(), optimizer, epochs, batch_size, trainable=frozenset([HEAD]))
    return Noting(
        MODEL,
        study,
        dict.fromkeys((*clients, "school", "room0", "room1"), keys),
        {"federate": recipe},
        algorithms={"federate": algorithm},
        depths={"school": 0, "room0": 1, "room1": 1, **dict.fromkeys(clients, 2)},
        start=initial(MODEL, 0, torch.float64),
    )


def star(clients):
    return Node("school", "school", tuple(Node(node, "device") for node in clients))


def stage(**rounds):
    """How often each tier gathers."""
    plan = {tier: SimpleNamespace(modules=(HEAD,), rounds=count) for tier, count in rounds.items()}
    return SimpleNamespace(name="federate", at="device", trainable=(HEAD,), plan=plan)


def federation(algorithm, clients, rounds, tree=None, **how):
    """What every node knows in the end, and the learner; *rounds* of the root, or by tier."""
    whole = learner(algorithm, clients, **how)
    plan = stage(**rounds) if isinstance(rounds, Mapping) else stage(school=rounds)
    return Federation(tree or star(clients), whole, [plan]).run(), whole


def bias(algorithm, clients, rounds, tree=None, **how):
    """The root's in the end."""
    return federation(algorithm, clients, rounds, tree, **how)[0]["school"].tensors[BIAS].item()
