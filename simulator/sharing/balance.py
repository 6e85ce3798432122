"""Keeps the shares of a fluid fair: a change is repaired where it happened, and goes no further than it is felt.

The levels are weighted max-min fair when each full resource is filled exactly by its flows at the lesser of its own
level and what holds them elsewhere. So the level of a disturbed share is found from those of its neighbours, flows are
handed to whoever holds them lowest, and the shares that this disturbs come next, the lowest first. Whatever the order,
this ends at the fair allocation, since the lowest levels cannot be disturbed by higher ones (Charny, Clark and Jain,
"Congestion control with explicit rate indication", ICC 1995, prove it for routers that do the same).
A resource with room promises parts of it to the shares that load it and is not looked at while they keep to that.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import simpy

from simulator.sharing.shares import NOISE, Share, Strand

if TYPE_CHECKING:
    from simulator.sharing.flows import Flow

SAME = 4e-16  # a level as near as this to the one before, of it, is the one before
LOST = 1e-15  # of what was taken from a sum: what is left of it below this is summed up anew
PATIENCE = 30  # times each share, on average, may be looked at in one settling before rounding is to blame
HEADROOM = 1 / 16  # of its load: what a strand is promised beyond it


class Balance:
    """The shares that were disturbed, and what ends at another time since."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.disturbed: list[tuple[bool, float, int, Share]] = []  # a heap: background last, then the lowest level
        self.retimed: dict[Flow | Share, None] = {}
        self._order = count()
        self._settling = 0
        self._coarse = 1.0  # how much more than usual counts as rounding

    def disturb(self, share: Share) -> None:
        """Have the level of a share found anew."""
        if not share.queued:
            share.queued = True
            heappush(self.disturbed, (share.ahead is not None, share.level, next(self._order), share))

    def enter(self, flow: Flow) -> None:
        """Let a flow run, held for now by what seems to hold it lowest."""
        share: Share | None = None
        if flow._path:
            share, _ = flow._path[0] if len(flow._path) == 1 else min(flow._path, key=_seems)
        for crossed, _ in flow._path:
            crossed.crossing[flow] = None
            if crossed.ahead is not None:
                crossed.ahead.awake = True
                self.disturb(crossed)  # what the weighted flows leave may not be what it was when it was last asked
        capped = share is None or share.level >= flow._ceiling < math.inf
        self.hold(flow, None if capped else share)

    def leave(self, flow: Flow) -> None:
        """Let a flow run no longer."""
        self._release(flow)
        for crossed, _ in flow._path:
            del crossed.crossing[flow]

    def hold(self, flow: Flow, holder: Share | None) -> None:
        """Have a flow, held by nobody, held by a share from now on, or by its own cap."""
        now = self.env.now
        flow._holder = holder
        if holder is None:
            flow._since, flow._rate = now, flow.rate_cap
            flow._due = now + (flow.amount - flow._passed) / flow.rate_cap
            self.retimed[flow] = None
            for crossed, units in flow._path:
                self._load(crossed, flow, units * flow.rate_cap)
            return
        weight = flow._share_weight
        flow._since = clock = holder.ready(now, flow.amount / weight)
        flow._mark = mark = clock + (flow.amount - flow._passed) / weight
        heappush(holder.marks, (mark, flow._serial, flow))
        holder.held[flow] = None
        if flow._ceiling < math.inf:
            heappush(holder.ceilings, (flow._ceiling, flow._serial, flow))
        for crossed, units in flow._path:
            strand = holder.reach.get(crossed)
            if strand is None:
                strand = holder.reach[crossed] = crossed.loads[holder] = Strand(crossed)
            strand.add(units * weight, 1)
            if crossed.awake and not crossed.queued:
                self.disturb(crossed)
        if not holder.queued:
            self.disturb(holder)

    def _load(self, crossed: Share, flow: Flow, load: float) -> None:
        crossed.capped.add(load, 1)
        if len(crossed.tops) > 2 * crossed.capped.count + 16:
            crossed.tops = [it for it in crossed.tops if it[2]._holder is None and it[2] in crossed.crossing]
            heapify(crossed.tops)
        heappush(crossed.tops, (-flow._ceiling, flow._serial, flow))
        if crossed.awake or load > crossed.room:
            self.disturb(crossed)
        crossed.room -= load

    def _release(self, flow: Flow) -> None:
        """Have a flow held by nobody; what has passed of it until now is noted."""
        if flow._passed < flow.amount:  # otherwise it has ended
            flow._passed = flow.passed
        holder, flow._holder = flow._holder, None
        if holder is None:
            for crossed, units in flow._path:
                crossed.capped.add(-units * flow.rate_cap, -1)
                crossed.room += units * flow.rate_cap
                if crossed.awake:
                    self.disturb(crossed)
        else:
            del holder.held[flow]
            for crossed, units in flow._path:
                strand = holder.reach[crossed]
                load = units * flow._share_weight
                strand.add(-load, -1)
                if strand.value < LOST * load and strand.count:
                    strand.value = _sum(crossed, holder)
                if not strand.count:
                    del holder.reach[crossed], crossed.loads[holder]
                    crossed.room += strand.promised
                if crossed.awake and not crossed.queued:
                    self.disturb(crossed)
            if not holder.queued:
                self.disturb(holder)
        flow._rate, flow._since, flow._due = 0.0, self.env.now, math.inf

    def _hand(self, flow: Flow, holder: Share | None) -> None:
        self._release(flow)
        self.hold(flow, holder)

    def settle(self) -> None:
        """Find the levels of all shares that are disturbed, and of those that this disturbs."""
        self._settling += 1
        looks, shares = 0, 10
        while self.disturbed:
            share = heappop(self.disturbed)[-1]
            share.queued = False
            own = share.reach.get(share)
            if own is not None and share.alone():
                share.advance(self.env.now)
                share.level, share.awake = share.resource.capacity / own.value, True
                self.retimed[share] = None
                continue
            self._set(share, self._level(share))
            if share.settled != self._settling:
                share.settled = self._settling
                shares += 1
            looks += 1
            if looks > PATIENCE * shares:  # weights so unequal that rounding hands the same flows to and fro
                looks, self._coarse = 0, 1e3 * self._coarse
                if self._coarse > 1 / NOISE:
                    self._leave_be()
        self._coarse = 1.0

    def _leave_be(self) -> None:
        for *_, share in self.disturbed:
            share.queued = False
        self.disturbed.clear()

    def _level(self, share: Share) -> float:
        """The level at which a share's flows, and those that are held higher elsewhere, fill the resource.

        From any set of held flows this level only rises, whether one that is held lower elsewhere is released or one
        that is held higher is taken: so the last is right. And so it ends, since a flow that is released at a level is
        not taken at a higher one; rounding, which knows no such law, is held to it.
        """
        capacity, level = share.capacity(), 0.0
        while True:
            rest = share.load(besides=share)
            own = share.reach.get(share)
            if own is None:
                if rest <= capacity * (1 + NOISE):
                    self._promise(share, capacity - rest)
                    return math.inf
                slack = 0.0
            else:
                level = max(level, (capacity - rest) / own.value)
                slack = self._coarse * NOISE * capacity / own.value  # what rounding may make of the level
            if not (self._give(share, level, slack) or self._take(share, level, slack)):
                return level

    def _give(self, share: Share, level: float, slack: float) -> bool:
        """Release a flow that its cap holds below a level, or all those that one other resource does."""
        flow = share.lowest_ceiling()
        if flow is not None and flow._ceiling <= level:
            self._hand(flow, None)
            return True
        if len(share.reach) > 1:
            lowest = min((crossed for crossed in share.reach if crossed is not share), key=_level_of)
            if lowest.level < level - slack:
                for flow in lowest.flows_of(share):
                    self._hand(flow, lowest)
                return True
        return False

    def _take(self, share: Share, level: float, slack: float) -> bool:
        """Take over what is held highest above a level: a flow from its cap, or all those from one other share."""
        highest = max((other for other in share.loads if other is not share), key=_level_of, default=None)
        if highest is not None and highest.level <= level + slack:
            highest = None
        flow = share.highest_capped()
        capped = -math.inf if flow is None else flow._ceiling
        if flow is not None and capped > level * (1 + NOISE) and (highest is None or capped >= highest.level):
            self._hand(flow, share)
            return True
        if highest is None:
            return False
        for flow in share.flows_of(highest):
            self._hand(flow, share)
        return True

    def _set(self, share: Share, level: float) -> None:
        """Give a share its level and pass on to whom it matters."""
        changed = level != share.level and not abs(level - share.level) <= self._coarse * SAME * min(level, share.level)
        share.advance(self.env.now)
        if changed:
            share.level = level
        share.awake = share.level < math.inf or bool(share.behind and share.behind.crossing)
        self.retimed[share] = None
        if len(share.reach) > 1:
            for crossed, strand in share.reach.items():
                if crossed is share:
                    continue
                if crossed.awake:
                    if changed:
                        self.disturb(crossed)
                elif strand.value * share.level > strand.promised:
                    self._ask(crossed, strand, strand.value * share.level)
        if share.behind and share.behind.crossing:
            self.disturb(share.behind)

    def _promise(self, share: Share, left: float) -> None:
        """Divide the room of a resource anew: to each strand its load and some more, the rest to whoever asks."""
        for other, strand in share.loads.items():
            strand.promised = strand.value * other.level
            more = min(HEADROOM * strand.promised, max(left, 0.0) / 2)
            strand.promised += more
            left -= more
        share.room = left

    def _ask(self, crossed: Share, strand: Strand, load: float) -> None:
        more = load * (1 + HEADROOM) - strand.promised
        if more > crossed.room:
            more = load - strand.promised
        if more > crossed.room:
            self.disturb(crossed)
        else:
            strand.promised += more
            crossed.room -= more


def _sum(crossed: Share, holder: Share) -> float:
    return math.fsum(
        flow._share_weight * units
        for flow in crossed.flows_of(holder)
        for share, units in flow._path
        if share is crossed
    )


def _level_of(share: Share) -> float:
    return share.level


def _seems(step: tuple[Share, float]) -> tuple[float, float]:
    """Of an idle resource, the rate that it could give to one flow."""
    share, units = step
    return share.level, share.resource.capacity / units
