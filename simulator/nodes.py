"""A node at run time: its processor, and what computing on it draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.costs import compute_joules, flops_per_s
from simulator.fluid import Flow, Fluid, Resource
from topologies.hierarchy import Hierarchy
from topologies.profiles import DeviceProfile

BACKGROUND = 0.0  # the weight of scoring on a processor: it gets what training leaves


@dataclass(frozen=True, slots=True)
class Machine:
    """A node's profile and its processor; a node without a profile computes in no time at no cost."""

    profile: DeviceProfile
    processor: Resource

    def joules(self, flow: Flow) -> float:
        """What a piece of work has drawn above idle so far."""
        return compute_joules(self.profile, flow.passed)


def machines(fluid: Fluid, hierarchy: Hierarchy) -> Mapping[str, Machine]:
    """A machine for every node that has a profile."""
    out = {}
    for node in hierarchy.nodes():
        profile = hierarchy.profile(node)
        if profile is not None:
            out[node] = Machine(profile, fluid.resource(f"processor of {node}", flops_per_s(profile)))
    return out
