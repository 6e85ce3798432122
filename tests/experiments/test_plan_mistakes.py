"""Mistakes of a plan that show only when the tree is there: told with their line, exit status 2, before the run."""

import sys

import pytest

from experiments.cli import main

LINES = """\
title: Six mistakes
topology: {kind: campus, classrooms: 2, devices: 4}
model: {footprint: {encoder: {bytes: 1000, flops: 1e9}, head: {bytes: 10, flops: 1e6}}}
plan:
  classroom:
    modules: [encoder, head]
    wait: barrier
    peers: {kind: relay}
  campus:
    modules: [encoder]
    rounds: 3
d2d:
  - {neighbours: ring}
stages:
  - {name: all, at: device, trainable: [encoder, head]}
plots: false
"""
ROOM = "campus0/room0/chromebook"
OTHERS = ", ".join(f"campus0/room1/chromebook{i}" for i in range(4))
OWN_PLAN = "plan: {classroom: {modules: [encoder, head], peers: {kind: consensus}}}"


@pytest.fixture
def edufog(tmp_path, monkeypatch, capsys):
    """What `edufog run` complains of in a text; its exit status is 2 then."""

    def run(text):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "s.yaml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["edufog", "run", "s.yaml", "-q", "--out", "out"])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr().err.strip()
        assert (left.value.code or 0) == (2 if told else 0)
        return told

    return run


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("kind: relay", f"kind: relay, head: {{given: [{ROOM}1]}}",
         f"8: plan.classroom.peers: heads: the cluster of {OTHERS} needs exactly one, but none of {ROOM}1 is in it"),
        ("kind: relay", "kind: relay, head: {given: [campus0]}",
         f"8: plan.classroom.peers: campus0 is no child of a classroom; a child is called, for example, '{ROOM}0'"),
        ("kind: relay", "kind: cooperate, helped: [nobody], samples: 1 MB",
         f"8: plan.classroom.peers: there is no node 'nobody'; a child is called, for example, '{ROOM}0'"),
        ("neighbours: ring", "neighbours: ring, tier: classroom",
         f"8: plan.classroom.peers: {ROOM}0 and its siblings have no sideways links; make some (d2d)"),
        ("head]}\nplots", f"head],\n     {OWN_PLAN}}}\nd2d: []\nplots",
         f"14: stages.0.plan.classroom.peers: {ROOM}0 and its siblings have no sideways links; make some (d2d)"),
        ("modules: [encoder]", "modules: [encoder, head]\n    select: {utility: 1}",
         "11: plan.campus.select: UtilityOf needs to be told loss, which this workload does not tell (costs alone tell "
         "nothing); choose another, or let it learn"),
        ("modules: [encoder, head]", "modules: [encoder]\n    every: {encoder: 2}",
         "11: plan.campus.modules: merges head, which classroom below does not; modules may only shrink going up"),
        ("wait: barrier", "wait: {first: 5}",
         "7: plan.classroom.wait.first: a classroom has 4 children, so it cannot wait for 5"),
        ("wait: barrier", "late: keep",
         "5: plan.classroom: late: keep is of no effect where all are waited for; give a wait: deadline or first"),
        ("trainable: [encoder, head]", "trainable: [encoder]",
         "6: plan.classroom.modules.1: no stage trains head, so nobody has anything to merge; train it, or leave it "
         "out here"),
        ("wait: barrier", "wait: {first: 2}",
         "7: plan.classroom.wait.first: the children of campus0/room0 meet their peers, of whom 1 report, so 2 can "
         "never arrive"),
        ("neighbours: ring", "neighbours: spanning",
         f"13: d2d.0: {ROOM}0: nobody knows where it is; give it x_metres and y_metres, or the scenario a radio with "
         "a room"),
    ],
)  # fmt: skip
def test_a_mistake_that_shows_when_the_tree_is_there_has_its_line(edufog, good, bad, told):
    text = LINES
    if told.startswith("11: plan.campus.modules"):
        text = LINES.replace("    modules: [encoder]\n", "    modules: [encoder, head]\n")
    if "d2d: []" in bad:
        text = LINES.replace("d2d:\n  - {neighbours: ring}\n", "")
    assert good in text
    assert edufog(text.replace(good, bad, 1)) == f"s.yaml:{told}"


def test_the_text_with_the_lines_is_good_before_it_is_spoilt(edufog):
    assert edufog(LINES) == ""
