"""What a device cannot hold: refused with figures, or trained in part; costs only, and learned for real."""

import pytest

from experiments.build import build
from experiments.memory import shrunk
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from simulator import Size

SIZES = {"trunk": 60.0, "encoder": 25.0, "head": 5.0, "other": 5.0}


def peak(modules):
    return 10.0 + sum(SIZES[m] for m in modules) if modules else 0.0


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (105.0, ("trunk", "encoder", "head", "other")),  # just enough
        (104.0, ("encoder", "head", "other")),  # what saves most goes first
        (44.0, ("head", "other")),
        (19.0, ("other",)),  # of equals, the first in the model's order goes
        (14.9, ()),
    ],
)
def test_what_saves_most_is_dropped_until_the_rest_fits(limit, left):
    assert shrunk(tuple(SIZES), limit, peak) == left


def test_what_is_left_fits_and_one_module_more_of_what_went_last_does_not():
    for limit in range(10, 120):
        left = shrunk(tuple(SIZES), limit, peak)
        assert not left or peak(left) <= limit
        gone = [m for m in SIZES if m not in left]
        assert not gone or peak((*left, min(gone, key=SIZES.get))) > limit


COSTS = """\
title: Costs
topology: {kind: classroom, devices: 3, device_mix: %s}
model: {footprint: {a: {bytes: 1 kB, flops: 1 GFLOP, memory: 3 GB, moved: 2 GB, launches: 7},
                    b: {bytes: 2 kB, flops: 2 GFLOP, memory: 2 GB}}}
plan: {classroom: {modules: [a, b]}}
memory: {policy: %s, reserved: 1 GB}
profiles: {devices: {small: {based_on: laptop_i5u, memory_bytes: %s}}}
"""


def scenario(folder, text):
    (folder / "s.yaml").write_text(text)
    return Scenario.load(folder / "s.yaml")


def costs(folder, policy, memory, mix="{small: 1}"):
    return build(scenario(folder, COSTS % (mix, policy, memory)))


def test_enough_is_enough(tmp_path):
    built = costs(tmp_path, "refuse", "6 GB")  # 3 + 2, and 1 reserved
    assert built.happenings == ()
    built.workload.enter(built.stages[0])
    (node, *_) = built.hierarchy.leaves
    work = built.workload.work(node, "train", 0)
    assert (work.flops, work.bytes_moved, work.memory_bytes, work.launches) == (3e9, 2e9, 5e9, 7)


def test_a_refusal_says_who_what_how_much_and_what_to_do(tmp_path):
    with pytest.raises(ScenarioError) as refused:
        costs(tmp_path, "refuse", "5.9 GB")
    text = str(refused.value)
    for part in (
        "room0/device0 (small)", "stage federate", "needs 5 GB", "there are 5.9 GB", "1 GB are reserved",
        "a asks most", "without it 2 GB", "lack memory: 3.", "policy: fit",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("memory", "kind", "allowed", "flops", "nbytes"),
    [("5.9 GB", "trains_part", {"b"}, 2e9, 2000), ("3 GB", "trains_part", {"b"}, 2e9, 2000),
     ("2.9 GB", "cannot_train", set(), 0.0, 0)],
)  # fmt: skip
def test_what_fits_is_trained_paid_for_and_sent(tmp_path, memory, kind, allowed, flops, nbytes):
    built = costs(tmp_path, "fit", memory)
    nodes = built.hierarchy.leaves
    assert [(node, what) for node, what, _ in built.happenings] == [(node, kind) for node in nodes]
    assert all(("b;" if allowed else "nothing fits;") in detail for _, _, detail in built.happenings)
    workload = built.workload
    workload.enter(built.stages[0])
    parent = built.hierarchy.parent(nodes[0])
    assert workload.allowed["federate", nodes[0]] == allowed
    assert workload.work(nodes[0], "train", 0).flops == flops
    assert workload.pack(nodes[0], parent, None, ("a", "b")).nbytes == nbytes
    assert workload.pack(parent, nodes[0], None, ("a", "b")).nbytes == 3000


def test_who_has_enough_is_not_held_back(tmp_path):
    built = costs(tmp_path, "fit", "5 GB", "{small: 0.34, laptop_i5u: 0.66}")
    limited = {node for node, _, _ in built.happenings}
    assert limited == {n for n in built.hierarchy.leaves if built.hierarchy.profile(n).name == "small"}
    assert len(limited) == 1


CAMPUS = """\
title: Tablets
topology: {kind: classroom, devices: 3, device: %s}
data: {source: campus, test: 40}
model: {width: 8, trunk: {layers: 1, heads: 2}}
plan: {classroom: {modules: ["head.*", adapter, "encoder.*", trunk]}}
learning: {batch_size: 8}
evaluate: {tiers: [classroom]}
profiles: {devices: {small: {based_on: laptop_i5u, memory_bytes: %d}}}
memory: {policy: %s}
"""


def needed(folder):
    built = build(scenario(folder, CAMPUS % ("small", 10**9, "refuse")))
    stage, node = built.stages[0], built.hierarchy.leaves[0]
    modules = built.workload.candidates(stage, node)
    return built.workload, stage, node, modules


def test_training_takes_what_the_workload_counts(tmp_path):
    """One byte less than the peak of the largest batch is too little, and the peak itself is enough."""
    workload, stage, node, _ = needed(tmp_path)
    clients = workload.learner.study.clients
    peaks = {n: workload.peak(stage, n, frozenset(workload.candidates(stage, n))) for n in clients}
    workload.enter(stage)
    assert workload.work(node, "train", 0).memory_bytes == peaks[node]
    assert build(scenario(tmp_path, CAMPUS % ("small", max(peaks.values()), "refuse"))).happenings == ()
    with pytest.raises(ScenarioError, match=r"stage federate needs .* of memory to train encoder"):
        build(scenario(tmp_path, CAMPUS % ("small", max(peaks.values()) - 1, "refuse")))


def test_a_small_tablet_trains_what_fits_and_says_so(tmp_path):
    workload, stage, node, modules = needed(tmp_path)
    limit = workload.peak(stage, node, frozenset(modules)) - 1
    built = build(scenario(tmp_path, CAMPUS % ("small", limit, "fit")))
    allowed = built.learner.curriculum.allowed["federate", node]
    (dropped,) = frozenset(modules) - allowed
    peaks = {m: workload.peak(stage, node, frozenset(modules) - {m}) for m in modules}
    assert peaks[dropped] == min(peaks.values()) <= limit
    kinds = {(name, kind): detail for name, kind, detail in built.happenings}
    assert "+".join(m for m in modules if m in allowed) in kinds[node, "trains_part"]
    none = build(scenario(tmp_path, CAMPUS % ("small", 1000, "fit")))
    assert {kind for _, kind, _ in none.happenings} == {"cannot_train"}


@pytest.mark.parametrize("figure", ["nbytes", "flops", "memory_bytes", "bytes_moved", "launches"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_size_that_cannot_be_is_refused_by_name(figure, value):
    with pytest.raises(ValueError, match=f"{figure} must be >= 0"):
        Size(**({"nbytes": 1} | {figure: value}))


@pytest.mark.parametrize(
    ("memory", "what"),
    [
        ("{policy: shrink}", "memory.policy"),
        ("{reserved: -1}", "memory.reserved"),
        ("{reserved: 2 s}", "memory.reserved"),
        ("fit", "memory"),
    ],
)
def test_a_mistake_in_the_section_is_told_with_its_place(tmp_path, memory, what):
    text = COSTS.replace("memory: {policy: %s, reserved: 1 GB}", f"memory: {memory}") % ("{small: 1}", "1 GB")
    with pytest.raises(ScenarioError, match=rf"s\.yaml:6: {what}"):
        scenario(tmp_path, text)


def test_who_is_helped_needs_what_fits_its_helper_and_no_memory_of_its_own(tmp_path):
    """A small tablet among two laptops: it trains, reports and pays for both modules; alone it fits one of them."""
    text = COSTS % ("{small: 0.3, laptop_i5u: 0.7}", "fit", "5 GB")
    alone = build(scenario(tmp_path, text))
    (small,) = (node for node, kind, _ in alone.happenings if kind == "trains_part")
    peers = f"peers: {{kind: cooperate, helped: [{small}], samples: 1 kB}}"
    helped = text.replace("[a, b]", f"[a, b], {peers}") + "d2d: {neighbours: everyone}\n"
    for policy in ("fit", "refuse"):
        built = build(scenario(tmp_path, helped.replace("policy: fit", f"policy: {policy}")))
        assert not built.happenings
        spans = run(built.scenario).spans
        (up,) = spans[(spans.node == small) & (spans.activity == "up") & (spans.kind == "transmit")].nbytes
        assert up == 3000
    short = helped.replace("laptop_i5u: 0.7", "tight: 0.7").replace(
        "devices: {", "devices: {tight: {based_on: laptop_i5u, memory_bytes: 4.5 GB}, "
    )
    partly = build(scenario(tmp_path, short))
    assert {node: detail for node, _, detail in partly.happenings}.keys() == set(partly.hierarchy.leaves)
    with pytest.raises(ScenarioError, match=r"needs 5 GB of memory to train a, b, and there are 4\.5 GB"):
        build(scenario(tmp_path, short.replace("policy: fit", "policy: refuse")))
