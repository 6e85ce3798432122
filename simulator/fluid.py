"""Work that flows through shared resources in simulated time: the one place where time passes.

Bits through links, airtime of a Wi-Fi cell, FLOPs through a processor: each is an amount of work that runs through one
or more resources at its weighted max-min fair rate. Who gets how much is kept by `balance.Balance`; here flows arrive,
queue for slots and end. `reference.ReferenceFluid` does the same by solving everything anew, slowly and plainly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count

import simpy
from simpy.events import URGENT, EventPriority

from simulator.sharing.balance import Balance
from simulator.sharing.checks import check_amount, check_path, check_resource, coefficients
from simulator.sharing.flows import Flow as Flow
from simulator.sharing.flows import Resource as Resource
from simulator.sharing.flows import Uses as Uses
from simulator.sharing.shares import TOGETHER, Share

AFTER_ALL = EventPriority(2)  # simpy's own events have 0 or 1: a settling comes once the others of its instant are done


class _Call(simpy.Event):
    """Calls functions after a delay with a priority of one's choice, which simpy's Timeout does not offer.

    More may be added to `functions` while they are called.
    """

    def __init__(
        self, env: simpy.Environment, function: Callable[[simpy.Event], None], priority: EventPriority, delay: float = 0
    ) -> None:
        self.env = env
        self.callbacks = self.functions = [function]
        self._ok, self._value = True, None
        self.at = env.now + delay
        env.schedule(self, priority, delay)


class Fluid:
    """Work that flows through shared resources at weighted max-min fair rates, in simulated time.

    Changes only mark what they touch. After the other events of the instant, one settling finds the levels of what was
    touched; a change later in the same instant just brings another settling, with no time passed in between. Flows end
    before the ordinary events of their instant, so one that is due at a deadline has met it.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._count = count()
        self._balance = Balance(env)
        self._settling: _Call | None = None
        self._alarm: _Call | None = None
        # When the first of a share ends, or a flow that its cap holds; void once that is due at another time.
        self._ends: list[tuple[float, int, Share | Flow]] = []
        self._many = 64

    def resource(self, name: str, capacity: float, *, slots: int | None = None) -> Resource:
        """A resource of so many units per second; with slots, that many flows run at a time and the others queue."""
        check_resource(name, capacity, slots)
        return Resource(name, capacity, slots)

    def set_capacity(self, resource: Resource, capacity: float) -> None:
        """Give a resource another capacity from now on; 0 stalls what flows there: an outage."""
        check_resource(resource.name, capacity)
        alone = resource._alone
        if alone is not None:
            self._stop(alone)
        resource.capacity = capacity
        if alone is not None:
            self._start(alone)
        for share in resource._shares:
            self._balance.disturb(share)
        self._call()

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
        for resource in path:
            if resource.slots is not None:
                self._queue(flow, resource)
        if not flow._waits:
            self._start(flow)
            if self._settling is None:
                self._call()
        return flow

    def _change(self, flow: Flow, uses: Mapping[Resource, float], rate_cap: float) -> None:
        if not flow._waits:
            self._stop(flow)
        flow._earlier, flow._turned = flow.used, flow.passed
        old, flow.uses, flow.rate_cap = flow.uses, uses, rate_cap
        flow._ceiling = rate_cap / flow._share_weight
        for resource in uses:
            if resource.slots is not None and resource not in old:
                self._queue(flow, resource)
        for resource in old:
            if resource.slots is not None and resource not in uses:
                self._unqueue(flow, resource)
        if not flow._waits:
            self._start(flow)
        self._call()

    def _remove(self, flow: Flow) -> None:
        if not flow._waits:
            self._stop(flow)
        flow._live = False
        for resource in flow.uses:
            if resource.slots is not None:
                self._unqueue(flow, resource)

    @staticmethod
    def _queue(flow: Flow, resource: Resource) -> None:
        if resource._serving < (resource.slots or math.inf):
            resource._serving += 1
        else:
            resource._queue[flow] = None
            flow._waits += 1

    def _unqueue(self, flow: Flow, resource: Resource) -> None:
        if flow in resource._queue:
            del resource._queue[flow]
            flow._waits -= 1
        elif resource._queue:
            following, _ = resource._queue.popitem(last=False)
            following._waits -= 1
            if not following._waits and following._live:
                self._start(following)
        else:
            resource._serving -= 1

    def _start(self, flow: Flow) -> None:
        """Let a flow run that has its turn everywhere."""
        background = not flow.weight
        if len(flow.uses) == 1:
            ((resource, units),) = flow.uses.items()
            if resource.slots == 1:
                self._run_alone(flow, resource, min(flow.rate_cap, resource.capacity / units))
                return
            flow._path = ((resource._share(background), units),)
        else:
            flow._path = [(resource._share(background), units) for resource, units in flow.uses.items()]
        self._balance.enter(flow)

    def _stop(self, flow: Flow) -> None:
        """Let a flow run no longer, and note what has passed of it."""
        if not flow._path and len(flow.uses) == 1:
            (resource,) = flow.uses
            if flow._passed < flow.amount:
                flow._passed = flow.passed
            flow._rate, flow._since, flow._due = 0.0, self.env.now, math.inf
            resource._alone = None
        else:
            self._balance.leave(flow)
            flow._path = ()

    def _run_alone(self, flow: Flow, resource: Resource, rate: float) -> None:
        """In the only slot of the only resource it uses, nobody has to be asked for the rate."""
        now = self.env.now
        resource._alone = flow
        left = flow.amount - flow._passed
        flow._rate, flow._since = rate, now
        delay = left / rate if rate else math.inf if left else 0.0
        if delay < math.inf:
            flow._due = _Call(self.env, partial(self._end_alone, flow), URGENT, delay).at

    def _end_alone(self, flow: Flow, alarm: simpy.Event) -> None:
        assert isinstance(alarm, _Call)
        if flow._due == alarm.at:  # otherwise it is due at another time by now, or has ended
            self._end(flow, alarm.functions)
            if self._settling is None:
                self._call()

    def _call(self) -> None:
        """Have what was touched settled after the other events of this instant."""
        if self._settling is None and (self._balance.disturbed or self._balance.retimed):
            self._settling = _Call(self.env, self._settle_later, AFTER_ALL)

    def _settle_later(self, _: simpy.Event) -> None:
        self._settling = None
        self._settle()

    def _settle(self) -> None:
        self._balance.settle()
        now, retimed = self.env.now, self._balance.retimed
        for it in retimed:
            if isinstance(it, Share):
                it._due = it.next_due(now)
            if it._due < math.inf:
                heappush(self._ends, (it._due, next(self._count), it))
        retimed.clear()
        self._set_alarm()

    def _set_alarm(self) -> None:
        ends = self._ends
        if len(ends) > self._many:  # most of them may be void
            ends[:] = [end for end in ends if end[0] == end[2]._due]
            heapify(ends)
            self._many = 2 * len(ends) + 64
        while ends and ends[0][0] != ends[0][2]._due:
            heappop(ends)
        if ends and (self._alarm is None or ends[0][0] < self._alarm.at):
            self._alarm = _Call(self.env, self._ring, URGENT, ends[0][0] - self.env.now)

    def _ring(self, alarm: simpy.Event) -> None:
        if alarm is not self._alarm:  # an earlier one was set since
            return
        now, ends = self.env.now, self._ends
        ended: list[Flow] = []
        while ends:
            due, _, it = ends[0]
            if due == it._due:
                if due > now and not _nearly(it, due - now, now):
                    break
                it._due = math.inf
                if isinstance(it, Share):
                    ended += it.finished(now)
                    self._balance.disturb(it)
                else:
                    ended.append(it)
            heappop(ends)
        if len(ended) > 1:
            ended.sort(key=lambda flow: flow._serial)
        for flow in ended:
            self._end(flow, self._alarm.functions)
        self._alarm = None
        disturbed = self._balance.disturbed
        if not disturbed and not self._balance.retimed:
            self._set_alarm()
        elif not disturbed or (len(disturbed) == 1 and disturbed[0][-1].alone()):
            self._settle()  # at once, since nobody else feels it
        else:
            self._call()

    def _end(self, flow: Flow, calls: list[Callable[[simpy.Event], None]]) -> None:
        """End a flow and have its callbacks called next, before the ordinary events of the instant.

        The alarm calls them, where succeed() would need another event. What is due at a deadline so meets it.
        """
        flow._passed = flow.amount
        self._remove(flow)
        flow._ok, flow._value = True, self.env.now
        callbacks, flow.callbacks = flow.callbacks, None  # type: ignore[assignment]  # which tells simpy it is over
        calls += [partial(_pass_on, callback, flow) for callback in callbacks]


def _pass_on(callback: Callable[[simpy.Event], None], flow: Flow, _: simpy.Event) -> None:
    callback(flow)


def _nearly(it: Share | Flow, seconds: float, now: float) -> bool:
    """Whether an end so many seconds ahead is now: as late as rounding alone explains, of the work or of the clock."""
    if seconds <= 2 * math.ulp(now):
        return True
    if not isinstance(it, Share):
        return seconds * it._rate <= TOGETHER * it.amount
    flow = it.first()
    return flow is not None and seconds * it.level * flow._share_weight <= TOGETHER * flow.amount
