"""What is run for real and simulated: trees, rates, models, stragglers, in a stated order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

FEATURES, CLASSES = 64, 10  # the handwritten digits of scikit-learn, 8 x 8 pixels
EXAMPLES = 192  # each device's share of them; one step is one pass over it, so an epoch
DEVICES = 8
BYTES_PER_NUMBER = 4


@dataclass(frozen=True, slots=True)
class Net:
    """A perceptron with two hidden layers of *width*."""

    name: str
    width: int

    @property
    def parameters(self) -> int:
        """How many numbers travel."""
        w = self.width
        return (FEATURES + 1) * w + (w + 1) * w + (w + 1) * CLASSES

    @property
    def nbytes(self) -> int:
        """What they take, as raw float32."""
        return BYTES_PER_NUMBER * self.parameters


SMALL, LARGE = Net("small", 128), Net("large", 320)
NETS: Mapping[str, Net] = MappingProxyType({net.name: net for net in (SMALL, LARGE)})


@dataclass(frozen=True, slots=True)
class Configuration:
    """A federation: a cloud, an edge for each number of devices in *tree*, and the links between.

    Rates are (up, down). *more_steps* and *slower_links* multiply the steps, and divide the access rates, of devices by
    index. *shared_access*: the devices of an edge are on one medium, both ways; *shared_trunk*: so are the edges.
    """

    name: str
    net: Net
    tree: tuple[int, ...]
    steps: int
    access_bits_per_s: tuple[float, float]
    trunk_bits_per_s: tuple[float, float]
    shared_access: bool = False
    shared_trunk: bool = False
    more_steps: Mapping[int, float] = field(default_factory=dict)
    slower_links: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.tree or min(self.tree) < 1 or sum(self.tree) != DEVICES:
            raise ValueError(f"{self.name}: tree must be numbers >= 1 that sum to {DEVICES}, got {self.tree}")
        if self.shared_access and self.slower_links:
            raise ValueError(f"{self.name}: devices on one medium have one rate; leave out slower_links")

    @property
    def edges(self) -> tuple[str, ...]:
        """The names of the edges."""
        return tuple(f"edge{number}" for number in range(len(self.tree)))

    def parents(self) -> Iterator[tuple[str, str]]:
        """Every device, in order, with its edge."""
        names = (edge for edge, size in zip(self.edges, self.tree, strict=True) for _ in range(size))
        yield from ((f"device{index}", edge) for index, edge in enumerate(names))

    def steps_of(self, index: int) -> int:
        """How many steps a device trains in a round."""
        return round(self.steps * self.more_steps.get(index, 1.0))

    def access_of(self, index: int) -> tuple[float, float]:
        """A device's rates, up and down, in bit/s."""
        up, down = self.access_bits_per_s
        slower = self.slower_links.get(index, 1.0)
        return up / slower, down / slower


def _mega(up: float, down: float) -> tuple[float, float]:
    return up * 1e6, down * 1e6


# On a shared medium, devices with unequal data: whoever is ready first sends first, whatever the scheduler does.
_UNEQUAL = {index: 0.65 + 0.1 * index for index in range(DEVICES)}

# Every second one, from the first, calibrates; the others are predicted.
CONFIGURATIONS = (
    Configuration("plain", LARGE, (4, 4), 70, _mega(40, 40), _mega(40, 40)),
    Configuration("slow uplinks", LARGE, (4, 4), 40, _mega(6, 30), _mega(20, 40)),
    Configuration("slow links", SMALL, (4, 4), 300, _mega(3, 3), _mega(4, 4)),
    Configuration("many steps", SMALL, (2, 2, 2, 2), 500, _mega(20, 20), _mega(20, 20)),
    Configuration("one edge", LARGE, (8,), 30, _mega(20, 40), _mega(30, 40)),
    Configuration("one medium", LARGE, (8,), 60, _mega(60, 80), _mega(40, 40), True, more_steps=_UNEQUAL),
    Configuration("one narrow medium", SMALL, (8,), 120, _mega(12, 16), _mega(8, 8), True, more_steps=_UNEQUAL),
    Configuration("staggered", SMALL, (8,), 200, _mega(8, 8), _mega(8, 8), slower_links={i: 1 + i for i in range(8)}),
    Configuration("one long training", LARGE, (2, 2, 2, 2), 25, _mega(30, 30), _mega(30, 30), more_steps={3: 8}),
    Configuration("one slow link", LARGE, (2, 2, 2, 2), 20, _mega(30, 30), _mega(30, 30), slower_links={5: 5}),
    Configuration("two long trainings", SMALL, (4, 4), 120, _mega(10, 10), _mega(8, 8), more_steps={1: 6, 6: 4}),
    Configuration("very slow links", SMALL, (2, 2, 2, 2), 100, _mega(1, 2), _mega(4, 4)),
    Configuration("four staggered", LARGE, (4, 4), 50, _mega(40, 40), _mega(40, 40), slower_links={1: 2, 4: 4, 7: 6}),
    Configuration("one trunk medium", LARGE, (2, 2, 2, 2), 10, _mega(40, 40), _mega(40, 60), shared_trunk=True),
    Configuration("media everywhere", SMALL, (4, 4), 220, _mega(6, 8), _mega(6, 6), True, True, _UNEQUAL),
    Configuration("uneven tree", LARGE, (6, 2), 90, _mega(40, 40), _mega(24, 24)),
)
QUICK = tuple(CONFIGURATIONS[number] for number in (10, 7, 6, 3))
