"""A scenario's plans as the simulator takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from experiments.scenario import Scenario, module_names, resolve
from experiments.schema.beside import (
    ConsensusSpec,
    CooperateSpec,
    FiniteGapSpec,
    FlickeringSpec,
    GivenSpec,
    GossipSpec,
    Law,
    LayersSpec,
    Peers,
    RelaySpec,
    TaperSpec,
    TwoTimescaleSpec,
    Varying,
)
from experiments.schema.plans import (
    CarbonAwareSpec,
    Deadline,
    EnergySpec,
    FairSpec,
    First,
    InTimeSpec,
    RandomSpec,
    StageSpec,
    TierPlanSpec,
    UtilitySpec,
)
from simulator import plan
from simulator.gathering import policies
from simulator.gathering.selection import Knowing, RandomOf, Select, everyone
from simulator.plan import FirstOf, Plan, Stage, TierPlan, Wait, barrier
from simulator.sideways import consensus, cooperate, laws, relay
from simulator.sideways.cluster import Sideways
from topologies import varying
from topologies.relays import Given


def stage_of(scenario: Scenario, spec: StageSpec) -> Stage:
    """One stage, its patterns resolved."""
    names = module_names(scenario)
    specs = scenario.plan if spec.plan is None else spec.plan
    tiers = Plan({tier: _told(tier, one, names) for tier, one in specs.items()})
    return Stage(spec.name, tiers, spec.at, resolve(spec.trainable, names), spec.preinstalled)


def _told(tier: str, spec: TierPlanSpec, names: Sequence[str]) -> TierPlan:
    try:
        return _tier(spec, names)
    except ValueError as error:
        raise ValueError(f"plan.{tier}.{error}") from error


def _tier(spec: TierPlanSpec, names: Sequence[str]) -> TierPlan:
    modules = resolve(spec.modules, names)
    return TierPlan(
        modules,
        spec.rounds,
        _wait(spec),
        _select(spec),
        spec.late,
        {name: turns for pattern, turns in spec.every.items() for name in resolve([pattern], modules)},
        None if spec.down is None else resolve(spec.down, modules),
        spec.meanwhile,
        None if spec.peers is None else _peers(spec.peers, names),
    )


def _wait(spec: TierPlanSpec) -> Wait:
    if isinstance(spec.wait, Deadline):
        return plan.Deadline(spec.wait.deadline)
    return FirstOf(spec.wait.first) if isinstance(spec.wait, First) else barrier


def _select(spec: TierPlanSpec) -> Select | Knowing:
    match spec.select:
        case RandomSpec(random=k):
            return RandomOf(k)
        case InTimeSpec(deadline=seconds):
            return policies.DeadlineOf(seconds)
        case UtilitySpec() as s:
            return policies.UtilityOf(s.utility, s.alpha, math.inf if s.seconds is None else s.seconds, s.explore)
        case EnergySpec(energy=k):
            return policies.EnergyOf(k)
        case CarbonAwareSpec(carbon=k):
            return policies.EnergyOf(k, "grams")
        case FairSpec(fair=k):
            return policies.FairOf(k)
    return everyone


def _peers(spec: Peers, names: Sequence[str]) -> Sideways[Any]:
    shared: dict[str, Any] = {
        "varying": _varying(spec.varying),
        "modules": None if spec.modules is None else resolve(spec.modules, names),
    }
    match spec:
        case RelaySpec() as s:
            head = Given(s.head.given) if isinstance(s.head, GivenSpec) else s.head
            return relay.Relay(head, s.merge_at_relays, s.half_duplex, s.broadcast, **shared)
        case ConsensusSpec() as s:
            rounds = s.rounds if isinstance(s.rounds, int) else _law(s.rounds)
            return consensus.Consensus(rounds, s.weights, s.c, s.mixed, s.energy, s.report, **shared)
        case GossipSpec() as s:
            return consensus.gossip(s.weights, s.energy, **shared)
        case CooperateSpec() as s:
            return cooperate.Cooperate(s.helped, round(s.samples), s.result, **shared)


def _varying(spec: Varying | None) -> varying.Varying:
    if spec is None:
        return varying.steady
    if isinstance(spec, FlickeringSpec):
        return varying.Flickering(spec.probability)
    return varying.Wandering(spec.width, spec.height, spec.metres_per_second, spec.range)


def _law(spec: Law) -> laws.Law:
    if isinstance(spec, TaperSpec):
        return laws.Taper(spec.share, spec.estimate)
    if isinstance(spec, TwoTimescaleSpec):
        return laws.TwoTimescale(spec.phi, spec.rate, spec.shift, spec.steps)
    if isinstance(spec, FiniteGapSpec):
        return laws.FiniteGap(spec.gap, _layers(spec), spec.estimate)
    return laws.LinearRate(spec.delta, spec.mu, spec.eta, _layers(spec), spec.estimate)


def _layers(spec: LayersSpec) -> laws.Layers:
    return laws.Layers(spec.samples, spec.phi, spec.dimension, spec.nodes_above, spec.layers)
