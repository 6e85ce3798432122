"""What a device of the real federation learns: handwritten digits, in plain PyTorch on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.reality.configurations import CLASSES, DEVICES, EXAMPLES, FEATURES, Net

LEARNING_RATE = 0.1
Shard = tuple[bytes, bytes]  # float32 features and int64 labels


def shards() -> Iterator[Shard]:
    """Each device's share of scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(np.random.SeedSequence([0, 1])).permutation(len(digits.target))
    for own in order[: DEVICES * EXAMPLES].reshape(DEVICES, EXAMPLES):
        features, labels = digits.data[own] / 16, digits.target[own]
        yield features.astype(np.float32).tobytes(), labels.astype(np.int64).tobytes()


def first_numbers(net: Net) -> np.ndarray:
    """What the cloud knows before any training: small random weights (He et al. 2015), the same in every run."""
    rng = np.random.default_rng(np.random.SeedSequence([0, net.width]))
    parts = []
    for fan_in, fan_out in ((FEATURES, net.width), (net.width, net.width), (net.width, CLASSES)):
        parts += [rng.normal(0, (2 / fan_in) ** 0.5, fan_in * fan_out), np.zeros(fan_out)]
    return np.concatenate(parts).astype(np.float32)


class Learner:
    """A device's digits and its model; a step is gradient descent on all of the digits."""

    def __init__(self, shard: Shard) -> None:
        import torch

        torch.set_num_threads(1)
        features, labels = shard
        self.features = torch.frombuffer(bytearray(features), dtype=torch.float32).reshape(-1, FEATURES)
        self.labels = torch.frombuffer(bytearray(labels), dtype=torch.int64)

    def build(self, net: Net) -> None:
        """A new model; what it starts from comes from the cloud. The first steps allocate, so they are done here."""
        from torch import nn, optim

        layers = (nn.Linear(FEATURES, net.width), nn.ReLU(), nn.Linear(net.width, net.width), nn.ReLU())
        self.model: nn.Module = nn.Sequential(*layers, nn.Linear(net.width, CLASSES))
        self.optimizer = optim.SGD(self.model.parameters(), lr=LEARNING_RATE)
        self.train(5)

    def load(self, numbers: np.ndarray) -> None:
        """Take over what came."""
        import torch

        torch.nn.utils.vector_to_parameters(torch.from_numpy(numbers.copy()), self.model.parameters())

    def train(self, steps: int) -> float:
        """So many steps, at least one; the loss before the last."""
        from torch.nn.functional import cross_entropy

        for _ in range(max(1, steps)):
            self.optimizer.zero_grad()
            loss = cross_entropy(self.model(self.features), self.labels)
            loss.backward()
            self.optimizer.step()
        return float(loss.detach())

    def dump(self, into: np.ndarray) -> None:
        """Write the model to where it is sent from."""
        import torch

        into[:] = torch.nn.utils.parameters_to_vector(self.model.parameters()).detach().numpy()
