"""The fluid as one would write it down: every component that changed is solved anew. What `Fluid` is held against.

`fairness.solve` is the weighted max-min fair allocation and knows nothing of time; `ReferenceFluid` keeps it true while
flows come, go and change. It has the face of `simulator.fluid.Fluid` and resources and flows of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, count, islice

import simpy
from simpy.events import URGENT, EventPriority

from simulator.sharing.checks import check_amount, check_path, check_resource, coefficients
from simulator.sharing.fairness import solve

AFTER_ALL = EventPriority(2)  # simpy's own events have 0 or 1: a settling comes once the others of its instant are done
TOGETHER = 1e-12  # of its amount: a flow as near to its end as this ends with the first of its component


@dataclass(eq=False, slots=True)
class Resource:
    """What flows share: a link in bit/s, a cell in seconds of airtime per second, a processor in FLOP/s.

    Made by `ReferenceFluid.resource`; its capacity is changed by `ReferenceFluid.set_capacity` only.
    """

    name: str
    capacity: float
    slots: int | None = None
    _flows: dict[Flow, None] = field(default_factory=dict, repr=False)  # in order of arrival

    def served(self) -> Iterable[Flow]:
        """The flows whose turn it is here: all of them, or the first `slots` arrivals."""
        return self._flows if self.slots is None else islice(self._flows, self.slots)


Uses = Mapping[Resource, float] | Sequence[Resource]  # units per unit of flow, or each as often as it is crossed


class Flow(simpy.Event):
    """An amount of work on its way; the event succeeds, with the time as its value, when all of it has passed.

    Made by `ReferenceFluid.flow`. `amount`, `uses`, `weight` and `rate_cap` may be read at any time. A flow that has
    finished or was cancelled has ended: to change or cancel it then does nothing; `passed` and `used` stay readable.
    """

    def __init__(
        self, fluid: ReferenceFluid, amount: float, uses: Mapping[Resource, float], weight: float, rate_cap: float
    ) -> None:
        super().__init__(fluid.env)
        self.amount, self.uses, self.weight, self.rate_cap = amount, uses, weight, rate_cap
        self._fluid = fluid
        self._serial = next(fluid._count)
        self._live = True
        self._passed, self._since, self._rate = 0.0, self.env.now, 0.0  # passed until `since`, and the rate from there
        self._due = math.inf  # when it will have passed, if nothing changes
        self._earlier: Mapping[Resource, float] = {}  # used on former paths, until `mark` had passed
        self._mark = 0.0
        self._arrive()

    @property
    def passed(self) -> float:
        """How much has passed until now."""
        return min(self.amount, self._passed + self._rate * (self.env.now - self._since))

    @property
    def used(self) -> Mapping[Resource, float]:
        """How much of each resource it has taken until now, former resources included."""
        used, passed = dict(self._earlier), self.passed - self._mark
        for resource, units in self.uses.items():
            used[resource] = used.get(resource, 0.0) + units * passed
        return used

    def change(self, *, uses: Uses | None = None, rate_cap: float | None = None) -> None:
        """Go on from here over other resources, at other coefficients or under another cap.

        The flow keeps its turn where it was and queues last where it is new (so two flows that change into each other's
        queues may wait for ever). Raises ValueError as `ReferenceFluid.flow` does.
        """
        if not self._live:
            return
        new = self.uses if uses is None else coefficients(uses)
        cap = self.rate_cap if rate_cap is None else rate_cap
        check_path(new, cap, known=self.uses)
        self._fluid._disturb(self, *self.uses, *new)
        self._earlier, self._mark = self.used, self.passed
        for resource in self.uses:
            if resource not in new:
                del resource._flows[self]
        self.uses, self.rate_cap = new, cap
        self._arrive()

    def cancel(self) -> None:
        """End here and now, unless it has ended; the event will never fire."""
        if self._live:
            self._leave()

    def _arrive(self) -> None:
        for resource in self.uses:
            resource._flows.setdefault(self)
        self._queues = [resource for resource in self.uses if resource.slots is not None]

    def _leave(self) -> None:
        self._wait()
        self._live = False
        for resource in self.uses:
            del resource._flows[self]
        self._fluid._disturb(*self.uses)

    def _end(self) -> None:
        self._leave()
        self._passed = self.amount
        self._ok, self._value = True, self.env.now
        self.env.schedule(self, URGENT)  # rather than succeed(): what is due at a deadline must not lose a race to it

    def _has_turn(self) -> bool:
        return all(self in resource.served() for resource in self._queues)

    def _go(self, rate: float) -> None:
        """Flow at this rate from now on. An unchanged rate changes no number, so rounding cannot creep in."""
        if rate != self._rate or self._due == math.inf:
            self._passed, self._since, self._rate = self.passed, self.env.now, rate
            left = self.amount - self._passed
            self._due = self._since + (left / rate if rate else math.inf if left else 0.0)

    def _wait(self) -> None:
        self._go(0.0)
        self._due = math.inf


class _Call(simpy.Event):
    """Calls a function after a delay with a priority of one's choice, which simpy's Timeout does not offer."""

    def __init__(
        self, env: simpy.Environment, function: Callable[[simpy.Event], None], priority: EventPriority, delay: float = 0
    ) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        self.callbacks.append(function)
        self.at = env.now + delay
        env.schedule(self, priority, delay)


class ReferenceFluid:
    """Work that flows through shared resources at weighted max-min fair rates, in simulated time.

    Changes only mark what they touch. After the other events of the instant, one settling solves anew the components
    (flows connected by resources) that were touched; a change later in the same instant just brings another settling,
    with no time passed in between. Flows end before the ordinary events of their instant, so one that is due at a
    deadline has met it.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._count = count()
        self._dirty: dict[Flow | Resource, None] = {}
        self._settling: _Call | None = None
        self._alarm: _Call | None = None
        # The first to end of each component: when, serial, tie-break, flow. Void once the flow is due at another time.
        self._ends: list[tuple[float, int, int, Flow]] = []

    def resource(self, name: str, capacity: float, *, slots: int | None = None) -> Resource:
        """A resource of so many units per second; with slots, that many flows run at a time and the others queue."""
        check_resource(name, capacity, slots)
        return Resource(name, capacity, slots)

    def set_capacity(self, resource: Resource, capacity: float) -> None:
        """Give a resource another capacity from now on; 0 stalls what flows there: an outage."""
        check_resource(resource.name, capacity)
        resource.capacity = capacity
        self._disturb(resource)

    def flow(self, amount: float, uses: Uses, *, weight: float = 1.0, rate_cap: float = math.inf) -> Flow:
        """Let an amount flow, from now on, through the resources it uses.

        Fair means equal rate/weight; weight 0 gets what the others leave. With slots, a flow runs while it is among the
        first arrivals at every slotted resource it uses. Raises ValueError for figures that make no sense, and for a
        resource whose capacity is 0.
        """
        check_amount(amount, weight)
        path = coefficients(uses)
        check_path(path, rate_cap)
        flow = Flow(self, amount, path, weight, rate_cap)
        self._disturb(flow, *path)
        return flow

    def _disturb(self, *touched: Flow | Resource) -> None:
        self._dirty.update(dict.fromkeys(touched))
        if self._settling is None:
            self._settling = _Call(self.env, self._settle, AFTER_ALL)

    def _settle(self, _: simpy.Event) -> None:
        dirty, self._dirty, self._settling = self._dirty, {}, None
        settled: set[Flow] = set()
        for flow in chain.from_iterable((it,) if isinstance(it, Flow) else it.served() for it in dirty):
            if not flow._live or flow in settled:
                continue
            if flow._has_turn():
                component = _component(flow)
                settled.update(component)
                self._pace(component)
            else:
                flow._wait()
        self._set_alarm()

    def _pace(self, component: Sequence[Flow]) -> None:
        """Set the rates of a component and note which of it ends first: that end settles the others anew."""
        for flow, rate in solve(component).items():
            flow._go(rate)
        first = min(flow._due for flow in component)
        if first == math.inf:
            return
        for flow in component:
            beyond = flow._due - first
            # As late as rounding alone explains, of the work or of the clock.
            if beyond * flow._rate <= TOGETHER * flow.amount or beyond <= 2 * math.ulp(first):
                flow._due = first
                heappush(self._ends, (first, flow._serial, next(self._count), flow))

    def _set_alarm(self) -> None:
        while self._ends and self._ends[0][0] != self._ends[0][3]._due:
            heappop(self._ends)
        if self._ends and (self._alarm is None or self._ends[0][0] < self._alarm.at):
            self._alarm = _Call(self.env, self._ring, URGENT, self._ends[0][0] - self.env.now)

    def _ring(self, alarm: simpy.Event) -> None:
        if alarm is not self._alarm:  # an earlier one was set since
            return
        self._alarm = None
        while self._ends and self._ends[0][0] <= self.env.now:
            due, _, _, flow = heappop(self._ends)
            if flow._due == due:
                flow._end()
        self._disturb()  # also when nobody ended: the settling sets the next alarm


def _component(start: Flow) -> list[Flow]:
    """The running flows that share resources with one of them, directly or through others, oldest first."""
    flows, known, crossed = [start], {start}, set[Resource]()
    for flow in flows:  # the list grows while it is walked
        for resource in flow.uses:
            if resource not in crossed:
                crossed.add(resource)
                found = [other for other in resource.served() if other not in known and other._has_turn()]
                flows += found
                known.update(found)
    # An order that does not depend on where the walk began gives the same sums, to the last bit, at every settling.
    return sorted(flows, key=lambda flow: flow._serial)
