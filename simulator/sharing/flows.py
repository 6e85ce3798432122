"""A flow and the resources it runs through, as whoever lets work flow sees them; `fluid.Fluid` makes both."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from simulator.sharing.checks import check_path, coefficients
from simulator.sharing.shares import Share

if TYPE_CHECKING:
    from simulator.fluid import Fluid


@dataclass(eq=False, slots=True)
class Resource:
    """What flows share: a link in bit/s, a cell in seconds of airtime per second, a processor in FLOP/s.

    Made by `Fluid.resource`; its capacity is changed by `Fluid.set_capacity` only.
    """

    name: str
    capacity: float
    slots: int | None = None
    _serving: int = field(default=0, repr=False)  # how many have one of the slots
    _queue: OrderedDict[Flow, None] = field(default_factory=OrderedDict, repr=False)  # who waits for one
    _alone: Flow | None = field(default=None, repr=False)  # who runs in its only slot and uses nothing else
    _shares: list[Share] = field(default_factory=list, repr=False)  # of the weighted flows, and of the background

    def _share(self, background: bool) -> Share:
        if not self._shares:
            self._shares.append(Share(self))
        if background and len(self._shares) == 1:
            self._shares.append(Share(self, self._shares[0]))
        return self._shares[background]


Uses = Mapping[Resource, float] | Sequence[Resource]  # units per unit of flow, or each as often as it is crossed


class Flow(simpy.Event):
    """An amount of work on its way; the event succeeds, with the time as its value, when all of it has passed.

    Made by `Fluid.flow`. `amount`, `uses`, `weight` and `rate_cap` may be read at any time. A flow that has finished or
    was cancelled has ended: to change or cancel it then does nothing, and `passed` and `used` stay readable.
    """

    _live = True
    _waits = 0  # at how many resources it waits for a slot
    _holder: Share | None = None
    # What had passed when the holder's clock (or, without a holder, time) was at `since`, and the rate from there.
    _passed = _since = _rate = 0.0
    _mark = _due = math.inf  # the holder's clock, or the time, when all will have passed
    _earlier: Mapping[Resource, float] | None = None  # used on former paths, until `turned` had passed
    _turned = 0.0
    _path: Sequence[tuple[Share, float]] = ()

    def __init__(
        self, fluid: Fluid, amount: float, uses: Mapping[Resource, float], weight: float, rate_cap: float
    ) -> None:
        self.env = fluid.env
        self.callbacks = []
        self.amount, self.uses, self.weight, self.rate_cap = amount, uses, weight, rate_cap
        self._share_weight = weight or 1.0  # those of weight 0 share among themselves, equally
        self._ceiling = rate_cap / self._share_weight  # the level at which the cap holds it
        self._fluid = fluid
        self._serial = next(fluid._count)

    @property
    def passed(self) -> float:
        """How much has passed until now."""
        if self._holder is not None:
            gained = self._share_weight * (self._holder.clock(self.env.now) - self._since)
        else:
            gained = self._rate * (self.env.now - self._since)
        return min(self.amount, self._passed + gained)

    @property
    def used(self) -> Mapping[Resource, float]:
        """How much of each resource it has taken until now, former resources included."""
        used, passed = dict(self._earlier or {}), self.passed - self._turned
        for resource, units in self.uses.items():
            used[resource] = used.get(resource, 0.0) + units * passed
        return used

    def change(self, *, uses: Uses | None = None, rate_cap: float | None = None) -> None:
        """Go on from here over other resources, at other coefficients or under another cap.

        The flow keeps its turn where it was and queues last where it is new (so two flows that change into each other's
        queues may wait for ever). Raises ValueError as `Fluid.flow` does.
        """
        if not self._live:
            return
        new = self.uses if uses is None else coefficients(uses)
        cap = self.rate_cap if rate_cap is None else rate_cap
        check_path(new, cap, known=self.uses)
        self._fluid._change(self, new, cap)

    def cancel(self) -> None:
        """End here and now, unless it has ended; the event will never fire."""
        if self._live:
            self._fluid._remove(self)
            self._fluid._call()
