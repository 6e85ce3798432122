"""A round as phases of its nodes, measured or simulated, and where along its critical path the time went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

CAUSES = ("compute", "transfer", "merge", "waiting")
CLOUD = "cloud"


class Phase(NamedTuple):
    """What a node did from when to when: train, pack, merge, or its model was under way: down to it, up from it."""

    node: str
    kind: str
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end_s - self.start_s


def phases(moments: Iterable[tuple[str, str, float]], parents: Mapping[str, str]) -> list[Phase]:
    """The phases between the moments that all nodes saw in one round; a merge begins with the last arrival."""
    when = {(node, what): time_s for node, what, time_s in moments}
    spans = (("down", "asked", "received"), ("pack", "received", "started"), ("train", "started", "trained"))
    spans += (("pack", "trained", "sent"), ("up", "sent", "arrived"))  # type: ignore[assignment]
    out = [
        Phase(node, kind, when[node, first], when[node, last])
        for node in parents
        for kind, first, last in spans
        if (node, first) in when and (node, last) in when
    ]
    for parent in dict.fromkeys(parents.values()):
        last = max(when[child, "arrived"] for child, above in parents.items() if above == parent)
        out.append(Phase(parent, "merge", last, when[parent, "merged"]))
    return out


def causes(round_: Iterable[Phase], parents: Mapping[str, str], seconds: float) -> dict[str, float]:
    """Where the *seconds* of a round went along its critical path, by cause.

    The path is walked back from the cloud's merge, at every node by the child that arrived last. Packing counts as
    merging: both copy a model. What is in no phase of the path is waiting: waking up, and gaps between phases.
    """
    found: dict[tuple[str, str], list[Phase]] = {}
    for phase in round_:
        found.setdefault((phase.node, phase.kind), []).append(phase)
    spent = dict.fromkeys(CAUSES, 0.0)
    kinds = {"train": "compute", "down": "transfer", "up": "transfer", "pack": "merge", "merge": "merge"}
    for node in (CLOUD, *_path(found, parents)):
        for kind, cause in kinds.items():
            spent[cause] += sum(phase.seconds for phase in found.get((node, kind), ()))
    spent["waiting"] = seconds - sum(spent.values())
    return spent


def _path(found: Mapping[tuple[str, str], list[Phase]], parents: Mapping[str, str]) -> Iterable[str]:
    node = CLOUD
    while children := [child for child, above in parents.items() if above == node]:
        node = max(children, key=lambda child: found[child, "up"][0].end_s)
        yield node
