"""The topology section of a scenario: one class per kind, with the tiers it makes and who is below whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, Tag, model_validator

from experiments.schema.documents import find_file
from experiments.schema.quantities import Metres, Watts
from experiments.schema.section import Section
from experiments.schema.sections import Count, File, by

if TYPE_CHECKING:
    from topologies.hierarchy import Hierarchy

DEFAULT_DEVICE = "chromebook_n100"


# What a name in the topology stands for; checks.py finds the fields by it.
DEVICE, LINK = "device profile", "link profile"
DeviceName = Annotated[str, DEVICE]
LinkName = Annotated[str, LINK]


def _sums_to_one(mix: dict[str, float]) -> dict[str, float]:
    total = math.fsum(mix.values())
    if not math.isclose(total, 1, abs_tol=1e-9):
        raise ValueError(f"the fractions must sum to 1, got {total:.12g}")
    return mix


Mix = Annotated[dict[str, Annotated[float, Field(gt=0)]], AfterValidator(_sums_to_one), DEVICE]


class Topology(Section):
    """What every kind has: *ranks*, its tiers from the leaves up (empty: known only when the tree is built)."""

    ranks: ClassVar[tuple[str, ...]] = ()

    @property
    def tiers(self) -> tuple[str, ...]:
        """From the lowest up; empty where nobody can tell yet."""
        return self.ranks

    @property
    def children(self) -> Mapping[str, int]:
        """How many children a node of a tier has, where the scenario says so."""
        return {}


class Devices(Topology):
    """A topology whose leaves are devices, of one profile or of a mix."""

    device: DeviceName | None = None
    device_mix: Mix | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_profile(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("device") is None and data.get("device_mix") is None:
            return data | {"device": DEFAULT_DEVICE}
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Devices:
        if self.device is not None and self.device_mix is not None:
            raise ValueError("give device or device_mix, not both")
        return self

    @property
    def mix(self) -> Mapping[str, float]:
        """The fraction of the devices that are of each profile."""
        return self.device_mix or {self.device or DEFAULT_DEVICE: 1.0}


class Groupable(Devices):
    """Devices as nodes, or *grouped*: one entry for all of a profile under one parent, which run as arrays."""

    grouped: bool = False


class Classroom(Groupable):
    """Devices around one edge node."""

    ranks: ClassVar = ("device", "classroom")
    kind: Literal["classroom"] = "classroom"
    devices: Count
    access: LinkName = "wifi6_40mhz_2x2"
    edge: DeviceName = "classroom_edge_box"

    @property
    def children(self) -> Mapping[str, int]:
        """Devices of the classroom."""
        return {"classroom": self.devices}


class Campus(Groupable):
    """Classrooms around one campus server."""

    ranks: ClassVar = ("device", "classroom", "campus")
    kind: Literal["campus"] = "campus"
    classrooms: Count
    devices: Count  # per classroom
    access: LinkName = "wifi6_40mhz_2x2"
    campus_link: LinkName = "campus_10g"
    edge: DeviceName = "classroom_edge_box"
    campus: DeviceName = "campus_l4"

    @property
    def children(self) -> Mapping[str, int]:
        """Classrooms of the campus and devices of a classroom."""
        return {"campus": self.classrooms, "classroom": self.devices}


class District(Groupable):
    """Campuses around one cloud."""

    ranks: ClassVar = ("device", "classroom", "campus", "cloud")
    kind: Literal["district"] = "district"
    campuses: Count
    classrooms: Count  # per campus
    devices: Count  # per classroom
    access: LinkName = "wifi6_40mhz_2x2"
    campus_link: LinkName = "campus_10g"
    cloud_link: LinkName = "wan_cloud_near"
    edge: DeviceName = "classroom_edge_box"
    campus: DeviceName = "campus_l4"
    cloud: DeviceName | None = "cloud_h100"  # null: it costs nothing

    @property
    def children(self) -> Mapping[str, int]:
        """Campuses, classrooms of a campus and devices of a classroom."""
        return {"cloud": self.campuses, "campus": self.classrooms, "classroom": self.devices}


class Star(Groupable):
    """Clients around one server; without *clients*, as many as the data brings."""

    ranks: ClassVar = ("device", "cloud")
    kind: Literal["star"] = "star"
    clients: Count | None = None
    link: LinkName = "wan_cloud_near"
    server: DeviceName | None = "cloud_h100"  # null: it costs nothing

    @property
    def children(self) -> Mapping[str, int]:
        """Clients of the server, where the scenario says how many."""
        return {} if self.clients is None else {"cloud": self.clients}


class Rosters(Devices):
    """Schools from a table of students: the columns of its student, classroom and school."""

    ranks: ClassVar = ("device", "classroom", "campus", "cloud")
    kind: Literal["rosters"] = "rosters"
    file: File
    student: str = "student"
    classroom: str = "classroom"
    school: str = "school"
    access: LinkName = "wifi6_40mhz_2x2"
    campus_link: LinkName = "campus_10g"
    cloud_link: LinkName = "wan_cloud_near"
    edge: DeviceName = "classroom_edge_box"
    campus: DeviceName = "campus_l4"
    cloud: DeviceName | None = "cloud_h100"  # null: it costs nothing


class DataSchools(Topology):
    """The schools that the data source brings: each class an edge node and a leaf, each school a campus."""

    ranks: ClassVar = ("classroom", "campus", "cloud")
    kind: Literal["data"] = "data"
    campus_link: LinkName = "campus_10g"
    cloud_link: LinkName = "wan_cloud_near"
    edge: DeviceName = "classroom_edge_box"
    campus: DeviceName = "campus_l4"
    cloud: DeviceName | None = "cloud_h100"  # null: it costs nothing


class PrototypeNetwork(Topology):
    """The network of the public H-FedFM prototype: see `topologies.prototype.Prototype`, whose fields these are."""

    ranks: ClassVar = ("device", "edge", "cloud")
    kind: Literal["hfedfm"] = "hfedfm"
    placement_seed: Annotated[int, Field(ge=0)] = 49
    users: Count = 4  # of each of the ten clusters
    within: Annotated[Metres, Field(gt=0)] = 500.0
    one_generator: bool = False
    noise: Literal["per_khz", "per_hz"] = "per_khz"
    fading: Literal["mean_two", "mean_one"] = "mean_two"
    uplinks: Literal["own", "cluster_mean"] = "own"
    cloud_link: Literal["each", "shared"] = "each"
    star: bool = False
    user_power: Watts = 0.6
    d2d_power: Watts = 0.6
    cloud_power: Watts = 0.8
    receive_power: Watts = 0.6
    device: DeviceName = DEFAULT_DEVICE
    edge: DeviceName = "classroom_edge_box"
    cloud: DeviceName = "cloud_h100"

    @property
    def tiers(self) -> tuple[str, ...]:
        """In a star there are no edges."""
        return ("device", "cloud") if self.star else ("device", "edge", "cloud")

    @property
    def children(self) -> Mapping[str, int]:
        """Ten clusters."""
        return {"cloud": 10 * self.users} if self.star else {"cloud": 10, "edge": self.users}


class TopologyFile(Topology):
    """A tree in a node-link JSON file."""

    kind: Literal["file"] = "file"
    file: File

    def tree(self) -> Hierarchy:
        """What the file holds; raises ValueError naming the file and the line, node, edge or key at fault."""
        from topologies.files import read_json

        return read_json(find_file(self.file, Path()))

    @property
    def tiers(self) -> tuple[str, ...]:
        """Those of the tree; none if it cannot be read, which is told by a check of its own."""
        try:
            return self.tree().tiers[::-1]
        except ValueError:
            return ()


AnyTopology = Annotated[
    Annotated[District, Tag("=kind:district")]
    | Annotated[Campus, Tag("=kind:campus")]
    | Annotated[Classroom, Tag("=kind:classroom")]
    | Annotated[Star, Tag("=kind:star")]
    | Annotated[Rosters, Tag("=kind:rosters")]
    | Annotated[DataSchools, Tag("=kind:data")]
    | Annotated[PrototypeNetwork, Tag("=kind:hfedfm")]
    | Annotated[TopologyFile, Tag("=kind:file")],
    by("kind"),
]
