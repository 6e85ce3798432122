"""A scenario with a radio: the whole of it as a study would have it, and every mistake that one can make in it."""

import pytest

from experiments.build import build
from experiments.cli import GALLERY
from experiments.run import run
from experiments.scenario import Scenario, ScenarioError
from topologies import Hierarchy, write_json
from topologies.radio import InH, LogDistance, Mcs, Shannon, TGax, TGaxResidential, UMa, UMi, WinnerA1

# As one would be in the gallery: what distance, walls and people in the way do to a round.
WALLS = """\
# A campus whose classrooms share an access point in the corridor: who sits where decides who is late.
title: Behind the wall
seed: 11
topology: {kind: campus, classrooms: 2, devices: 6, device: android_tablet_budget, access: wifi6_40mhz_2x2}
radio:
  model: tgax                           # IEEE 802.11-14/0980, enterprise
  walls: 2
  bandwidth: 40 MHz
  streams: 2
  transmit_power: 15 dBm                # a tablet
  ap_power: 20 dBm
  noise_figure: 7 dB
  mac_efficiency: 0.65
  fading: {kind: rician, k: 3 dB, over: average}
  room: {width: 30 m, depth: 10 m, access_point: [0 m, 5 m]}
  out_of_range: exclude
model:
  footprint:
    encoder: {bytes: 2 MB, flops: 4 GFLOP}
    head: {bytes: 40 kB, flops: 100 MFLOP}
plan:
  classroom: {modules: [encoder, head], rounds: 2}
  campus: {modules: [encoder], rounds: 3}
plots: false
"""
FADING = "fading: {kind: rician, k: 3 dB, over: average}"


@pytest.fixture
def load(tmp_path):
    def of(text, **options):
        (tmp_path / "s.yaml").write_text(text)
        return Scenario.load(tmp_path / "s.yaml", **options)

    return of


def air(tree):
    """The links of the tree that have a channel, as (device, link, channel)."""
    pairs = [(leaf, tree.link(leaf, tree.parent(leaf)), tree.channel(leaf, tree.parent(leaf))) for leaf in tree.leaves]
    assert all(channel is not None for _, _, channel in pairs)
    return pairs


def test_the_rates_of_a_run_are_those_of_the_radio(load):
    result = run(load(WALLS))
    tree = result.built.hierarchy
    rates = set()
    for leaf, link, channel in air(tree):
        assert (channel.rates, channel.mac_efficiency, channel.over) == (Mcs(40e6, 2), 0.65, "average")
        assert channel.k == pytest.approx(10**0.3)
        assert channel.down_snr_db - channel.up_snr_db == pytest.approx(5)
        assert link.up_bits_per_s == channel.mean_bits_per_s("up")
        assert link.down_bits_per_s == channel.mean_bits_per_s("down")
        rates.add(link.up_bits_per_s)
        spans = result.spans
        for span in spans[(spans.node == leaf) & (spans.kind == "transmit")].itertuples():
            airtime = 8 * span.nbytes / link.up_bits_per_s
            assert span.joules == pytest.approx((link.transmit_watts - link.idle_watts) * airtime, rel=1e-9)
    assert len(rates) > 1
    places = result.nodes[result.nodes.tier == "device"]
    assert places.x_metres.between(0, 30).all()
    assert places.y_metres.between(0, 10).all()


def test_who_is_out_of_range_is_left_out_and_told(load):
    walled = WALLS.replace("walls: 2", "walls: 5")
    result = run(load(walled))
    left = [h for h in result.log.happenings if h.kind == "out_of_range"]
    assert 0 < len(left) < 12
    assert len(result.built.hierarchy.leaves) == 12 - len(left)
    assert not {h.node for h in left} & set(result.nodes.node)
    assert {h.time_s for h in left} == {0.0}
    assert all(h.detail.endswith("4.0 dB needed") for h in left)
    with pytest.raises(ScenarioError, match=r"is out of range, .*leave it out \(out_of_range: exclude\)$"):
        build(load(walled.replace("out_of_range: exclude", "out_of_range: refuse")))


def test_the_same_seed_gives_the_same_places(load):
    first, again, other = (build(load(WALLS, seed=seed)).hierarchy for seed in (1, 1, 2))
    places = [[tree.attributes(leaf) for leaf in tree.leaves] for tree in (first, again, other)]
    assert places[0] == places[1] != places[2]


def test_fading_that_a_transfer_draws_keeps_the_link_at_gain_one(load):
    """Whatever a transfer draws is a rate of the table, and one that draws none waits for another block."""
    drawn = WALLS.replace(FADING, "fading: {kind: rayleigh, over: outage, retry: 20 ms}")
    result = run(load(drawn))
    table = [0.65 * rate for rate in Mcs(40e6, 2).table]
    for leaf, link, channel in air(result.built.hierarchy):
        assert (channel.k, channel.over, channel.retry_seconds) == (0.0, "outage", 0.02)
        assert link.up_bits_per_s == channel.bits_per_s(1.0, "up")
        sent = result.spans[(result.spans.node == leaf) & (result.spans.kind == "transmit")]
        rates = (link.transmit_watts - link.idle_watts) * 8 * sent.nbytes / sent.joules
        assert all(min(abs(rate / known - 1) for known in table) < 1e-9 for rate in rates)
    assert {"retry"} == {happening.kind for happening in result.log.happenings} - {"out_of_range"}


def test_a_resolved_scenario_is_the_same_scenario(load):
    scenario = load(WALLS)
    again = load(scenario.to_yaml())
    assert again == scenario
    assert "transmit_power: 15.0 dBm" in scenario.to_yaml()


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("model: inh", {"los": "draw", "office": "mixed", "noise_figure": 7.0, "fading": {"kind": "none"}}),
        ("model: tgax", {"walls": 0, "mac_efficiency": 0.65, "rates": "mcs", "shadowing": True}),
        ("model: umi, fading: {kind: rayleigh, over: outage}", {"fading": {
            "kind": "rayleigh", "over": "outage", "retry": 0.05}}),
        ("model: uma, rates: shannon, cap: 6", {"minimum_snr": -10.0}),
    ],
)  # fmt: skip
def test_a_resolved_scenario_says_what_was_used(load, words, spelled):
    dumped = load(ONE.replace("model: inh", words)).dump()["radio"]
    assert {key: dumped[key] for key in spelled} == spelled


def test_a_scenario_without_a_radio_is_as_it_was(load):
    text = WALLS[: WALLS.index("radio:")] + WALLS[WALLS.index("model:\n") :]
    tree = build(load(text)).hierarchy
    assert all(tree.channel(leaf, tree.parent(leaf)) is None for leaf in tree.leaves)
    assert "radio" not in load(text).to_yaml()


def test_positions_may_come_from_a_file(load, tmp_path):
    room = Hierarchy("room", "classroom", "classroom_edge_box", x_metres=0.0, y_metres=0.0)
    room.add("ann", "room", "device", "raspberry_pi5", "wifi6_40mhz_2x2", x_metres=3.0, y_metres=4.0)
    write_json(room, tmp_path / "room.json")
    topology = WALLS[WALLS.index("topology:") : WALLS.index("radio:")]
    text = WALLS.replace(topology, "topology: {kind: file, file: room.json}\n")
    text = text.replace("  room: {width: 30 m, depth: 10 m, access_point: [0 m, 5 m]}\n", "")
    text = text.replace("  campus: {modules: [encoder], rounds: 3}\n", "")
    (found,) = air(build(load(text)).hierarchy)
    assert found[2].metres == 5.0


def test_students_out_of_range_bring_no_data(load):
    """With the walls of an old school some of the small campus is not heard; who is left is who learns."""
    radio = WALLS[WALLS.index("radio:") : WALLS.index("model:\n")].replace("walls: 2", "walls: 5")
    text = (GALLERY / "campus.yaml").read_text() + "\n" + radio
    small = {"topology.campuses": "1", "topology.classrooms": "2", "topology.devices": "6", "data.public": "1200"}
    built = build(load(text, overrides=small))
    left = {node for node, kind, _ in built.happenings if kind == "out_of_range"}
    assert left
    assert set(built.study.clients) == set(built.hierarchy.leaves)
    assert len(built.study.clients) + len(left) == 12
    assert built.learner.study is built.study


MODELS = [
    ("tgax, walls: 3", TGax(3), "draw"),
    ("tgax_residential, walls: 1, floors: 2", TGaxResidential(1, 2), "draw"),
    ("inh, office: open, los: no", InH("open"), "no"),
    ("umi, los: yes", UMi(), "yes"),
    ("uma", UMa(), "draw"),
    ("d2d", WinnerA1(), "draw"),
    ("log_distance, reference_loss: 30 dB, exponent: 3, sigma: 4", LogDistance(30.0, 3.0, 4.0), "draw"),
]
ONE = """\
title: One
topology: {kind: classroom, devices: 3}
radio: {model: inh, bandwidth: 20 MHz, streams: 1, transmit_power: 15 dBm, ap_power: 20 dBm, room: {width: 8, depth: 9}}
model: {footprint: {head: {bytes: 1 kB}}}
plan: {classroom: {modules: [head]}}
"""


@pytest.mark.parametrize(("words", "model", "sight"), MODELS)
def test_every_model_can_be_written(load, words, model, sight):
    radio = load(ONE.replace("model: inh", f"model: {words}")).radio.radio()
    assert (radio.model, radio.sight) == (model, sight)


def test_shannon_rates_can_be_written(load):
    rates = "rates: shannon, cap: 6, minimum_snr: -6 dB"
    radio = load(ONE.replace("bandwidth: 20 MHz", f"bandwidth: 7 MHz, {rates}")).radio.radio()
    assert radio.rates == Shannon(7e6, 1, 6.0, -6.0)


ROOM = "room: {width: 8, depth: 9}"
MISTAKES = [
    ("model: inh", "model: inn",
     "radio.model: expected tgax, tgax_residential, inh, umi, uma, d2d or log_distance, got 'inn'; "
     "did you mean 'inh'?"),
    ("model: inh, ", "", "radio.model: is missing"),
    ("model: inh", "model: inh, walls: 2", "radio: walls belongs to model tgax or tgax_residential, not to inh"),
    ("model: inh", "model: tgax, los: yes", "radio: los belongs to models inh, umi, uma, d2d, not to tgax"),
    ("model: inh", "model: umi, ofice: open", "radio.ofice: unknown key; did you mean 'office'?"),
    ("model: inh", "model: umi, office: open", "radio: office belongs to model inh, not to umi"),
    ("model: inh", "model: log_distance, exponent: 3, sigma: 4",
     "radio: reference_loss is missing: model log_distance needs it, such as 40 dB"),
    ("model: inh", "model: tgax, walls: -1", "radio.walls: must be >= 0, got -1"),
    ("model: inh", "model: inh, los: maybe", "radio.los: expected draw, yes or no, got 'maybe'"),
    ("bandwidth: 20 MHz, ", "", "radio.bandwidth: is missing"),
    ("streams: 1, ", "", "radio.streams: is missing"),
    ("transmit_power: 15 dBm, ", "", "radio.transmit_power: is missing"),
    ("ap_power: 20 dBm, ", "", "radio.ap_power: is missing"),
    ("15 dBm", "15", "radio.transmit_power: expected a power in dBm, such as 20 dBm, got 15"),
    ("15 dBm", "'15'", "radio.transmit_power: expected a power in dBm, such as 20 dBm, got '15'"),
    ("15 dBm", "30 mW",
     "radio.transmit_power: '30 mW' is a power; expected a power in dBm, such as 20 dBm"),
    ("15 dBm", "15 dB",
     "radio.transmit_power: '15 dB' is a ratio of powers; expected a power in dBm, such as 20 dBm"),
    ("15 dBm", "15 dbm", "radio.transmit_power: unknown unit 'dbm' in '15 dbm'; did you mean 'dBm'?; "
     "expected a power in dBm, such as 20 dBm"),
    ("15 dBm", "1e6 dBm", "radio.transmit_power: must be <= 100, got '1e6 dBm'"),
    (ROOM, f"{ROOM}, fading: {{kind: rician, k: 60 dB, over: average}}", "radio.fading.k: must be <= 30, got '60 dB'"),
    ("streams: 1", "streams: 1, rates: shannon, cap: 6, minimum_snr: null",
     "radio: minimum_snr is missing: give it, such as -10 dB, or leave it out for that"),
    ("15 dBm", ".nan dBm", "radio.transmit_power: expected a power in dBm, such as 20 dBm, got '.nan dBm'"),
    ("bandwidth: 20 MHz", "bandwidth: 30 MHz",
     "radio: bandwidth: 802.11ax has channels of 20, 40, 80 or 160 MHz, got 30 MHz; use one, or Shannon "
     "(rates: shannon)"),
    ("bandwidth: 20 MHz", "bandwidth: 20 m", "radio.bandwidth: '20 m' is a length; expected hertz, such as 2.4 GHz"),
    ("streams: 1", "streams: 9", "radio: streams must be a whole number from 1 to 8, got 9"),
    ("streams: 1", "streams: 1, noise_figure: -1 dB", "radio.noise_figure: must be >= 0, got '-1 dB'"),
    ("streams: 1", "streams: 1, mac_efficiency: 0", "radio.mac_efficiency: must be > 0, got 0"),
    ("streams: 1", "streams: 1, mac_efficiency: 65", "radio.mac_efficiency: must be <= 1, got 65"),
    ("streams: 1", "streams: 1, rates: shannon",
     "radio: cap is missing: the bit/s/Hz of the densest modulation, such as 6 for 64-QAM"),
    ("streams: 1", "streams: 1, cap: 6",
     "radio: cap and minimum_snr belong to rates: shannon; the MCS table has its own"),
    ("streams: 1", "streams: 1, rates: shannon, cap: 1, minimum_snr: 3 dB",
     "radio: cap must be > 1.58 bit/s/Hz, which 3 dB allow, got 1.0"),
    ("model: inh", "model: log_distance, reference_loss: 40 dB, exponent: 3",
     "radio: sigma is missing: how much shadowing scatters, such as 4 dB; or say shadowing: false"),
    ("model: inh", "model: log_distance, reference_loss: 40 dB, exponent: 3, sigma: 3, shadowing: false",
     "radio: sigma belongs to shadowing: true"),
    ("model: inh", "model: log_distance, reference_loss: 40 dB, exponent: 0, sigma: 3",
     "radio.exponent: must be > 0, got 0"),
    (ROOM, f"{ROOM}, fading: {{kind: rician, over: average}}", "radio.fading: k is missing: give it, such as 3 dB"),
    (ROOM, f"{ROOM}, fading: {{kind: rayleigh, k: 3 dB, over: average}}", "radio.fading: k belongs to kind rician"),
    (ROOM, f"{ROOM}, fading: {{kind: rayleigh}}",
     "radio.fading: over is missing: average (a transfer lasts many blocks) or outage (each draws its block)"),
    (ROOM, f"{ROOM}, fading: {{over: outage}}",
     "radio.fading: over and retry belong to kinds rayleigh and rician; without fading nothing is drawn"),
    (ROOM, f"{ROOM}, fading: {{kind: rayleigh, over: average, retry: 1 s}}",
     "radio.fading: retry belongs to over: outage; an average has no outage to wait out"),
    (ROOM, f"{ROOM}, fading: {{kind: rayleigh, over: outage, retry: 0}}", "radio.fading.retry: must be > 0, got 0"),
    (f", {ROOM}", "", "radio.room: is missing: where the students sit, such as {width: 8 m, depth: 10 m}"),
    (ROOM, "room: {width: 0, depth: 9}", "radio.room.width: must be > 0, got 0"),
    (ROOM, "room: {width: 1 m, depth: 1 m}", "radio.room: hardly a seat is 1 m from the access point; widen the room"),
    (ROOM, "room: {width: 8, depth: 9, access_point: [9, 1]}",
     "radio.room: the access point at 9, 1 m is outside; move it in, or widen the room"),
    (ROOM, "room: {width: 8, depth: 9, access_point: 9 m}",
     "radio.room.access_point: expected two distances from the corner, such as [4 m, 0 m], got '9 m'"),
    (ROOM, f"{ROOM}, links: [wifi7]", "radio.links.0: the topology has no link 'wifi7'; it has wifi6_40mhz_2x2"),
    ("devices: 3", "devices: 3, access: eth_1g",
     "radio: none of eth_1g is shared and has a carrier; give the topology another link"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "line"), MISTAKES)
def test_a_mistake_has_its_message(load, good, bad, line):
    assert good in ONE
    with pytest.raises(ScenarioError) as error:
        load(ONE.replace(good, bad, 1))
    assert [f"{problem.key}: {problem.what}" for problem in error.value.problems] == [line]


def test_a_named_link_without_a_carrier_needs_one(load):
    wired = ONE.replace("devices: 3", "devices: 3, access: eth_1g").replace(ROOM, f"{ROOM}, links: [eth_1g]")
    with pytest.raises(ScenarioError, match=r"radio\.carrier: is missing, and link eth_1g has none"):
        load(wired)
    assert load(wired.replace("model: inh", "model: inh, carrier: 5 GHz")).radio.carrier == 5e9
