"""The network of a scenario: its tree, its radio, and its links beside the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.scenario import Scenario
from experiments.schema.catalogue import device_profiles, link_profiles
from experiments.schema.documents import find_file
from experiments.schema.links import BesideSpec, DegreeSpec, ProbabilitySpec, WithinSpec, each
from experiments.schema.places import Classroom, DataSchools, Devices, PrototypeNetwork, Rosters, Star, TopologyFile
from topologies.hierarchy import Hierarchy

if TYPE_CHECKING:
    from topologies.profiles import DeviceProfile


def on_air(scenario: Scenario, tree: Hierarchy) -> tuple[Hierarchy, tuple[tuple[str, str, str], ...]]:
    """The tree at the rates of its radio, if the scenario has one, and what happened to nodes out of range."""
    if scenario.radio is None:
        return tree, ()
    from topologies.placement import with_radio

    heard, unheard = with_radio(tree, scenario.radio.radio(), scenario.seed)
    return heard, tuple((why.node, "out_of_range", why.detail) for why in unheard)


def hierarchy(scenario: Scenario, rosters: Any) -> Hierarchy:
    """The tree; *rosters* is the table of student, class and school that the data source brings, if it does."""
    from topologies import schools

    topology = scenario.topology
    devices, links = device_profiles(scenario.profiles), link_profiles(scenario.profiles)
    if isinstance(topology, TopologyFile):
        return topology.tree()
    if isinstance(topology, PrototypeNetwork):
        return _prototype(topology, devices)
    values: dict[str, Any] = {"seed": scenario.seed}
    for name, value in topology:
        if name in ("access", "link", "campus_link", "cloud_link"):
            values[name] = links[value]
        elif name in ("edge", "campus", "cloud", "server"):
            values["cloud" if name == "server" else name] = None if value is None else devices[value]
        elif name in ("campuses", "classrooms", "devices", "grouped"):
            values[name] = value
    if isinstance(topology, Devices):
        mix = {devices[name]: share for name, share in topology.mix.items()}
        values["device" if isinstance(topology, Classroom | Star | Rosters) else "device_mix"] = mix
    if isinstance(topology, DataSchools):
        return schools.schools_from_rosters(rosters, device=None, **values)
    if isinstance(topology, Rosters):
        import pandas as pd

        columns: dict[str, Any] = {name: getattr(topology, name) for name in ("student", "classroom", "school")}
        try:
            table = pd.read_csv(find_file(topology.file, Path()), dtype=str)
            return schools.schools_from_rosters(table, **columns, **values)
        except ValueError as error:  # from pandas with a line, from the rosters with a row; neither names the file
            raise ValueError(f"{topology.file}: {str(error).strip()}") from error
    if isinstance(topology, Star):
        clients = topology.clients or 0 if rosters is None else _client_names(rosters)
        return schools.star(clients, tier=topology.ranks[0], **values)
    builders: Mapping[str, Callable[..., Hierarchy]] = {
        "district": schools.district,
        "campus": schools.campus,
        "classroom": schools.classroom,
    }
    return builders[topology.kind](**values)


def beside(scenario: Scenario, tree: Hierarchy) -> None:
    """Connect nodes of *tree* as the scenario's `d2d` says. Raises ValueError where they cannot be."""
    for keys, spec in each(scenario.d2d):
        try:
            _connect(scenario, tree, spec)
        except ValueError as error:
            raise ValueError(f"{'.'.join(map(str, keys))}: {error}") from error


def _connect(scenario: Scenario, tree: Hierarchy, spec: BesideSpec) -> None:
    from topologies.placement import join_by_radio
    from topologies.sideways import clusters, join

    tier, link = spec.tier or tree.tiers[-1], link_profiles(scenario.profiles)[spec.link]
    families: dict[str, list[str]] = {}
    for node in tree.nodes(tier):
        above = next((n for n in tree.path_up(node)[1:] if spec.among in (None, tree.tier(n))), None)
        if above is None:
            raise ValueError(f"there is no {spec.among or 'node'} above {node}; name another tier")
        families.setdefault(above, []).append(node)
    for family in families.values():
        for members in [tuple(family)] if spec.among else clusters(tree, family):
            pairs = _pairs(spec, tree, members, scenario.seed)
            if spec.radio is None:
                join(tree, pairs, link)
            else:
                join_by_radio(tree, pairs, link, spec.radio.radio(), scenario.seed)


def _pairs(spec: BesideSpec, tree: Hierarchy, members: tuple[str, ...], seed: int) -> tuple[tuple[str, str], ...]:
    from topologies import sideways

    match spec.neighbours:
        case WithinSpec(within=metres):
            return sideways.within(tree, members, metres)
        case DegreeSpec(degree=degree):
            return sideways.at_random(members, seed, degree=degree)
        case ProbabilitySpec(probability=probability):
            return sideways.at_random(members, seed, probability=probability)
        case "everyone":
            return sideways.everyone(members)
        case "ring":
            return sideways.ring(members)
    return sideways.spanning(members, sideways.metres(tree))


def _prototype(spec: PrototypeNetwork, devices: Mapping[str, DeviceProfile]) -> Hierarchy:
    from topologies.prototype import Prototype

    return Prototype(
        devices[spec.device], devices[spec.edge], devices[spec.cloud],
        seed=spec.placement_seed, users=spec.users, within_metres=spec.within, one_generator=spec.one_generator,
        noise=spec.noise, fading=spec.fading, uplinks=spec.uplinks, cloud=spec.cloud_link, star=spec.star,
        user_watts=spec.user_power, d2d_watts=spec.d2d_power, cloud_watts=spec.cloud_power,
        receive_watts=spec.receive_power,
    ).tree()  # fmt: skip


def _client_names(rosters: Any) -> list[str]:
    pairs = zip(rosters["school"], rosters["class"], strict=True)
    return list(dict.fromkeys(f"{school}/{class_}" for school, class_ in pairs))
