"""What low-rank adapters, ``x A B``, call their factors: parameters ``<layer>.<map>.a`` and ``.b``."""

FIRST, SECOND = ".a", ".b"


def first(key: str) -> bool:
    """Whether a "module/parameter" is a factor A, of :class:`models.adapters.LoRA` or of peft."""
    return key.endswith(FIRST) or ".lora_A." in key


def second_of(key: str) -> str:
    """The factor B of a factor A."""
    return key.removesuffix(FIRST) + SECOND


def weight_of(key: str) -> str:
    """The trunk's map beside which a factor A of module ``adapter`` works."""
    return "trunk/" + key.partition("/")[2].removesuffix(FIRST) + ".weight"
