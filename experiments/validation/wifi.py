"""A Wi-Fi cell as the simulator has it, one resource of airtime, beside Bianchi's model of stations that contend.

The simulator's cell passes a fixed part of the PHY rate, its MAC efficiency, however many stations there are. Bianchi's
saturation throughput falls with their number, by collisions. The difference is stated, not promised away.
"""

from __future__ import annotations

from functools import partial

import simpy

from experiments.validation.check import Check, Row, close, stated, worst
from simulator.fluid import Fluid
from topologies.radio import Mcs, bianchi_throughput
from topologies.radio.decibels import ratio

STATIONS = (5, 10, 20, 30, 50)
EFFICIENCY = 0.65  # the scenario's default
PHY_BITS_PER_S = Mcs(40e6, streams=2).bits_per_s(ratio(25.0))  # HE MCS 7
FRAME_BITS, FRAMES = 8 * 30_000.0, 20


def cell_throughput(stations: int) -> tuple[float, float]:
    """Payload in bit/s that saturated stations get through one cell, in all and the one that gets least."""
    env = simpy.Environment()
    fluid = Fluid(env)
    cell = fluid.resource("cell", 1.0)
    uses = {cell: 1 / (EFFICIENCY * PHY_BITS_PER_S)}
    flows = [fluid.flow(FRAMES * FRAME_BITS, uses) for _ in range(stations)]
    env.run(flows[0])
    passed = [flow.passed / env.now for flow in flows]
    return sum(passed), min(passed)


def beside_bianchi(stations: int) -> list[Row]:
    """The cell's throughput beside that of basic access and of RTS/CTS, in Mbit/s."""
    every, rows = cell_throughput(stations)[0], []
    for access, rts_cts in (("basic access", False), ("RTS/CTS", True)):
        exact = bianchi_throughput(stations, PHY_BITS_PER_S, FRAME_BITS / 8, rts_cts=rts_cts)
        rows.append(stated(f"{stations} stations beside {access}: Mbit/s", exact / 1e6, every / 1e6))
    return rows


def fair() -> list[Row]:
    """The station that gets least, as DCF shares equally in the long run."""
    title = f"the station with least of {', '.join(map(str, STATIONS))}: Mbit/s"
    least = ((EFFICIENCY * PHY_BITS_PER_S / n, cell_throughput(n)[1]) for n in STATIONS)
    return [worst(close(title, share / 1e6, got / 1e6) for share, got in least)]


def checks() -> list[Check]:
    """One check a number of stations, and one of fairness."""
    beside = [Check(f"{stations} stations", partial(beside_bianchi, stations)) for stations in STATIONS]
    return [*beside, Check("fairness", fair)]
