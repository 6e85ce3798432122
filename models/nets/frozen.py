"""A foundation model as a model of named modules, cut before its heads where these alone train."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from models.model import Cut, Nested, Stack, Tensors
from models.nets.foundation import FEATURES, Foundation
from models.nets.torch_module import TorchModel


@dataclass(frozen=True, eq=False)
class FoundationModel(TorchModel):
    """*network* is a :class:`Foundation`: what its heads see is computed once per sample where nothing else trains."""

    def cut(self, trainable: Collection[str]) -> Cut | None:
        """Before the heads; None where an adapter, a prompt or the backbone trains."""
        if not all(name.startswith("head.") for name in trainable):
            return None
        assert isinstance(self.network, Foundation)
        rest = Heads(self.network.head)
        width = next(head.in_features for head in self.network.head.values() if isinstance(head, nn.Linear))
        names = {name: module for name, module in self.names.items() if module.startswith("head.")}
        return Cut(
            f"{self.network.describe()} {dict(self.shapes)}",
            lambda key, modalities: not key.startswith("head."),
            self._features,
            lambda key: key.startswith("head."),
            TorchModel(rest, {"features": (width,)}, self.tasks, names),
        )

    def _features(self, params: Nested, inputs: Tensors, stack: Stack) -> dict[str, Tensor]:
        return {"features": self.forward(params, inputs, [FEATURES], stack)[FEATURES]}


class Heads(nn.Module):
    """The heads alone, on features."""

    def __init__(self, head: nn.ModuleDict) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, tasks: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """``[batch, outputs]`` by task."""
        return {task: self.head[task](features) for task in tasks or self.head}
