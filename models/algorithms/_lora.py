"""What low-rank adapters, ``x A B``, call their factors: parameters ``<layer>.<map>.a`` and ``.b``."""

from dataclasses import dataclass

from models.federation.algorithm import Setting
from models.model import keys_of

FIRST, SECOND = ".a", ".b"


def first(key: str) -> bool:
    """Whether a "module/parameter" is a factor A, of :class:`models.adapters.LoRA` or of peft."""
    return key.endswith(FIRST) or ".lora_A." in key


@dataclass(frozen=True, slots=True)
class LowRank:
    """Refuses models without any A, for which the algorithm would be plain averaging."""

    algorithm: str

    def __call__(self, setting: Setting) -> None:
        """ValueError says what the model needs."""
        if not any(map(first, keys_of(setting.model))):
            raise ValueError(f"{self.algorithm} needs low-rank maps in the model: adapters: {{kind: lora}}")


def second_of(key: str) -> str:
    """The factor B of a factor A."""
    return key.removesuffix(FIRST) + SECOND


def weight_of(key: str) -> str:
    """The trunk's map beside which a factor A of module ``adapter`` works."""
    return "trunk/" + key.partition("/")[2].removesuffix(FIRST) + ".weight"
