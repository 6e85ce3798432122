"""When nodes come and go: by their presence, and when a battery is empty or charged again."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from simpy import Environment, Event
from simpy.events import NORMAL, EventPriority

from simulator.acts import Acts
from simulator.batteries import Charge
from simulator.nodes import Node
from simulator.presence import Presence, always

BEFORE_ALL = EventPriority(-1)  # who comes at a time is there for all that happens then; who goes, until it is over


def begin(acts: Acts, presence: Presence) -> None:
    """Start the lives of all nodes that can go; the root cannot, and who is always there costs no event."""
    for name, node in acts.nodes.items():
        goes = presence is not always and name != acts.hierarchy.root and presence(name, 0.0) != (True, math.inf)
        if goes or node.charge:
            there = presence if goes else always
            if not there(name, acts.env.now)[0]:
                node.leave("absent")
            acts.env.process(live(acts, node, there))


def live(acts: Acts, node: Node, presence: Presence) -> Generator[Event, Any, None]:
    """One node's comings and goings. It is here while it is present and its battery, if it has one, is alive."""
    env, charge, alive = acts.env, node.charge, True
    while True:
        present, until = presence(node.name, env.now)
        if charge:
            plugged, unplug = charge.plugs.at(env.now)
            until = min(until, unplug)
            if plugged != charge.plugged:
                charge.mark(plugged)
            was, alive = alive, _alive(node, charge, alive)
            if was != alive:
                share = f"its battery is at {charge.joules() / charge.capacity:.0%}"
                acts.happen(node.name, "revived" if alive else "died", share)
        if node.here and not (present and alive):
            if alive:
                acts.happen(node.name, "left", f"until {until:.6g} s")
            node.leave("left" if alive else "died")
        elif not node.here and present and alive:
            node.arrive()
        if charge:
            until = min(until, _turning_point(node, charge, alive))
        if until == math.inf:
            return
        yield _at(env, max(until, math.nextafter(env.now, math.inf)), NORMAL if node.here else BEFORE_ALL)


def _at(env: Environment, time: float, priority: EventPriority) -> Event:
    """The event of a time, before the others of that instant or among them."""
    event = Event(env)
    event._ok, event._value = True, None
    env.schedule(event, priority, time - env.now)
    return event


def _alive(node: Node, charge: Charge, alive: bool) -> bool:
    if alive:
        return not (node.here and charge.empty)
    battery = node.costs.battery
    assert battery is not None
    return charge.joules() >= battery.revive * charge.capacity * (1 - 1e-12)


def _turning_point(node: Node, charge: Charge, alive: bool) -> float:
    """The earliest time at which the battery may be empty, at the most that the node can draw, or is charged again.

    Asking again at each such time closes in on the moment itself: what is left shrinks by a constant factor each time.
    """
    now, battery = node.env.now, node.costs.battery
    assert battery is not None
    if charge.plugged:
        if alive:
            return math.inf
        missing = battery.revive * charge.capacity - charge.joules()
        return now + max(missing, 0.0) / charge.watts
    if not (alive and node.here):
        return math.inf
    return now + charge.joules() / charge.peak_watts
