"""Modules that never leave a client."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from models.federation.algorithm import Setting
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


@dataclass(frozen=True, slots=True)
class Matching:
    """Refuses patterns that match no module of the model."""

    algorithm: str
    stay: tuple[str, ...]

    def __call__(self, setting: Setting) -> None:
        """ValueError for the first of them."""
        names = tuple(setting.model.modules)
        if all(any(fnmatchcase(name, pattern) for pattern in self.stay) for name in names):
            raise ValueError(f"{self.algorithm}: stay: all modules would, and nobody would learn together")
        for pattern in self.stay:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"{self.algorithm}: stay: the model has no module {pattern!r}; it has {', '.join(names)}"
                )


def staying(algorithm: str, stay: Sequence[str]) -> tuple[Travelling, Matching]:
    """The rule of *stay*, patterns of modules, and its check. Raises ValueError where it is none."""
    if isinstance(stay, str) or not stay or not all(isinstance(pattern, str) for pattern in stay):
        raise ValueError(f'{algorithm}: stay must be a list of modules such as ["head.*"], got {stay!r}')
    return Travelling(tuple(stay)), Matching(algorithm, tuple(stay))
