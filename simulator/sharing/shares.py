"""Flows held by one resource at one level, moved all at once by a virtual clock.

In a weighted max-min fair allocation everything that flows is held by one thing: by its own cap, or by a full resource.
What one resource holds is a `Share`: each of its flows runs at weight times the share's level, so that one clock, the
integral of the level, tells how far all of them are. A flow ends when the clock reaches the flow's mark, and a new
level touches no flow. (Virtual time: Parekh and Gallager, IEEE/ACM Trans. Networking 1(3), 1993.)
"""

from __future__ import annotations

import math
from heapq import heapify, heappop
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.sharing.flows import Flow, Resource

TOGETHER = 1e-12  # of its amount: a flow as near to its end as this ends with the one that ends now
NOISE = 1e-12  # of its capacity: what a resource is over or under by is rounding up to here
WORN = 2.0**-10  # a flow this small beside the clock would lose digits to it: the clock is set back to 0

Marks = list[tuple[float, int, "Flow"]]  # a heap: where, tie-break, which flow; void once the flow says otherwise


class Tally:
    """A sum that is added to and taken from for ever and does not drift: the error of each step is carried along.

    Knuth's two-sum (The Art of Computer Programming 2, 4.2.2); with no terms left it is 0 exactly.
    """

    __slots__ = ("_error", "count", "value")

    def __init__(self) -> None:
        self.value, self._error, self.count = 0.0, 0.0, 0

    def add(self, term: float, count: int) -> None:
        """Add a term (count 1), or take one away again (minus the term, count -1)."""
        self.count += count
        if not self.count:
            self.value = self._error = 0.0
            return
        total = self.value + term
        added = total - self.value
        error = self._error + (self.value - (total - added)) + (term - added)
        self.value = total + error
        self._error = error - (self.value - total)


class Strand(Tally):
    """The flows of one share that cross one resource; `value` is their load on it at level 1.

    While the resource has room, `promised` is the load up to which it need not be asked.
    """

    __slots__ = ("crossed", "promised")

    def __init__(self, crossed: Share) -> None:
        super().__init__()
        self.crossed, self.promised = crossed, 0.0


class Share:
    """What one resource holds, and what crosses it: of the weighted flows, or (`ahead` is theirs) of the background.

    The level is infinite while the resource has room; it then holds nothing.
    """

    __slots__ = (
        "_clock", "_due", "_since", "ahead", "awake", "behind", "capped", "ceilings", "crossing", "held",
        "level", "loads", "marks", "queued", "reach", "resource", "room", "settled", "tops",
    )  # fmt: skip

    def __init__(self, resource: Resource, ahead: Share | None = None) -> None:
        self.resource, self.ahead = resource, ahead
        self.behind: Share | None = None
        if ahead is not None:
            ahead.behind = self
        self.level = self._due = math.inf
        self.awake = self.queued = False  # every change of its load matters; its level is to be found anew
        self.settled = 0  # the settling that looked at it last
        self.crossing: dict[Flow, None] = {}  # whatever runs through the resource, wherever it is held
        self.loads: dict[Share, Strand] = {}  # which shares load it
        self.capped = Tally()  # the load of flows that are held by their caps,
        self.tops: Marks = []  # the highest cap first, as a level (negative)
        self.room = 0.0  # what is promised to nobody
        self.held: dict[Flow, None] = {}
        self.reach: dict[Share, Strand] = {}  # which resources, its own included, its flows load
        self.marks: Marks = []  # where the clock stands when they end
        self.ceilings: Marks = []  # the level at which a cap takes them over
        self._clock = self._since = 0.0

    def capacity(self) -> float:
        """What there is to share: all of the resource, or what the weighted flows leave of it."""
        most = self.resource.capacity
        if self.ahead is None:
            return most
        left = most - self.ahead.load()
        return left if left > NOISE * most else 0.0

    def load(self, besides: Share | None = None) -> float:
        """How much of the resource is taken, by flows held elsewhere than *besides*."""
        return self.capped.value + sum(
            strand.value * share.level for share, strand in self.loads.items() if share is not besides
        )

    def alone(self) -> bool:
        """Whether nothing but its own flows, without caps, has to do with it: then a new level concerns nobody."""
        if self.ahead or self.behind or self.ceilings or self.capped.count:
            return False
        return not self.crossing or (len(self.loads) == len(self.reach) == 1 and self in self.reach)

    def clock(self, now: float) -> float:
        """The work done per unit of weight."""
        return self._clock + self.level * (now - self._since) if now != self._since else self._clock

    def advance(self, now: float) -> float:
        """Bring the clock to now, as must be done before the level changes."""
        if now != self._since:
            if self.held:
                self._clock += self.level * (now - self._since)
            self._since = now
        return self._clock

    def ready(self, now: float, stretch: float) -> float:
        """Bring the clock to now and see that it resolves a *stretch* well, and that the heaps are not mostly void."""
        count = len(self.held)
        if not count:
            self._clock, self._since = 0.0, now
            self.marks.clear()
            self.ceilings.clear()
            return 0.0
        if now != self._since:
            self.advance(now)
        if stretch < WORN * self._clock or len(self.marks) > 2 * count + 16:
            back, self._clock = self._clock, 0.0
            for flow in self.held:
                flow._since -= back
                flow._mark -= back
            self.marks = [(flow._mark, flow._serial, flow) for flow in self.held]
            heapify(self.marks)
        if len(self.ceilings) > 2 * count + 16:
            self.ceilings = [(flow._ceiling, flow._serial, flow) for flow in self.held if flow._ceiling < math.inf]
            heapify(self.ceilings)
        return self._clock

    def first(self) -> Flow | None:
        """The flow that ends first, if nothing changes."""
        marks = self.marks
        while marks:
            mark, _, flow = marks[0]
            if flow._holder is self and flow._mark == mark:
                return flow
            heappop(marks)
        return None

    def next_due(self, now: float) -> float:
        """When the first flow ends, if nothing changes."""
        flow = self.first()
        if flow is None:
            return math.inf
        left = flow._mark - self.advance(now)
        if left <= 0:
            return now
        return now + left / self.level if self.level else math.inf

    def finished(self, now: float) -> list[Flow]:
        """Take out the flows whose end is now; as late as rounding explains, of the work or of the clock, is now."""
        clock, tick = self.advance(now), 2 * math.ulp(now) * self.level
        done: list[Flow] = []
        marks = self.marks
        while marks:
            mark, _, flow = marks[0]
            if flow._holder is self and flow._mark == mark:
                beyond = mark - clock
                if beyond > tick and beyond * flow._share_weight > TOGETHER * flow.amount:
                    break
                flow._mark = math.inf  # which voids any double of this entry
                done.append(flow)
            heappop(marks)
        return done

    def lowest_ceiling(self) -> Flow | None:
        """Of the flows it holds, the one whose cap is reached first as the level rises."""
        while self.ceilings:
            ceiling, _, flow = self.ceilings[0]
            if flow._holder is self and flow._ceiling == ceiling:
                return flow
            heappop(self.ceilings)
        return None

    def highest_capped(self) -> Flow | None:
        """Of the flows that cross it and are held by their caps, the one that a falling level reaches first."""
        while self.tops:
            top, _, flow = self.tops[0]
            if flow in self.crossing and flow._holder is None and flow._ceiling == -top:
                return flow
            heappop(self.tops)
        return None

    def flows_of(self, holder: Share) -> list[Flow]:
        """The flows of another share that cross this resource."""
        fewer = min(self.crossing, holder.held, key=len)
        return [flow for flow in fewer if flow._holder is holder and flow in self.crossing]
