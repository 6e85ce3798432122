"""Modules that never leave a client."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from models.model import module

HEADS = ("head.*",)


@dataclass(frozen=True, slots=True)
class Travelling:
    """All but modules whose names match one of the patterns."""

    stay: tuple[str, ...]

    def __call__(self, key: str) -> bool:
        """Whether a "module/parameter" travels."""
        return not self.stays(module(key))

    def stays(self, name: str) -> bool:
        """Whether a module does not."""
        return any(fnmatchcase(name, pattern) for pattern in self.stay)


def travelling(algorithm: str, stay: Sequence[str]) -> Travelling:
    """The rule of *stay*, patterns of modules. Raises ValueError where it is none."""
    if isinstance(stay, str) or not stay or not all(isinstance(pattern, str) for pattern in stay):
        raise ValueError(f'{algorithm}: stay must be a list of modules such as ["head.*"], got {stay!r}')
    return Travelling(tuple(stay))
