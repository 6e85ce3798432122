"""A scenario whose devices are groups: the same seconds and joules as with a node for each."""

import pytest

from experiments.build import build
from experiments.run import run
from experiments.scenario import Scenario

KINDS = {
    "classroom": {"kind": "classroom", "devices": 5},
    "campus": {"kind": "campus", "classrooms": 2, "devices": 3},
    "district": {"kind": "district", "campuses": 2, "classrooms": 2, "devices": 3},
}
MIX = {"chromebook_n100": 0.5, "android_tablet_budget": 0.5}


def scenario(kind, wait, grouped, **topology):
    tiers = ("classroom", "campus", "cloud")[: 1 + list(KINDS).index(kind)]
    return Scenario.model_validate({
        "title": "Grouped or not",
        "topology": KINDS[kind] | {"device_mix": MIX, "grouped": grouped} | topology,
        "model": {"footprint": {"head": {"bytes": 40_000, "flops": 1e10}}},
        "plan": {t: {"modules": ["head"], "rounds": 2} | ({"wait": wait} if t == "classroom" else {}) for t in tiers},
        "plots": False,
    })  # fmt: skip


@pytest.mark.parametrize("wait", ["barrier", {"deadline": 0.1}, {"first": 2}])
@pytest.mark.parametrize("kind", KINDS)
def test_groups_cost_what_their_members_cost(kind, wait):
    """Whether they run as arrays or, for a policy that looks at each report, as nodes."""
    apart, together = (run(scenario(kind, wait, grouped)) for grouped in (False, True))
    assert any(h.kind == "unfolded" for h in together.log.happenings) == ("first" in wait)
    cut = [{s.tier for s in result.log.spans if s.status == "interrupted"} for result in (apart, together)]
    assert cut[0] == cut[1]
    assert bool(cut[0]) == ("deadline" in wait or "first" in wait)
    for figure in ("sim_seconds", "joules"):
        assert together.manifest[figure] == pytest.approx(apart.manifest[figure], rel=1e-9)
    sums = [result.nodes.groupby("tier").total_joules.sum().to_dict() for result in (apart, together)]
    assert sums[1] == pytest.approx(sums[0], rel=1e-9)
    assert together.log.joules() == pytest.approx(apart.log.joules(), rel=1e-9)
    assert together.log.nbytes() == pytest.approx(apart.log.nbytes(), abs=len(apart.log.spans))  # whole bytes of each


def test_grouped_devices_are_groups_by_profile():
    tree = build(scenario("district", "barrier", True)).hierarchy
    assert tree.nodes("device") == ()
    assert tree.population == 1 + 2 + 4 + 12
    assert {group.profile.name for group in tree.groups()} == set(MIX)
    assert not build(scenario("district", "barrier", False)).hierarchy.groups()
