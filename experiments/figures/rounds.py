"""Where the time of a root round goes: what the round waited for, and what every node did meanwhile.

A root round runs from its first activity to the end of its last report or merge. Evaluations run in the background and
hold nothing up, and the broadcast that closes a stage comes after its last round: neither belongs to a round.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from experiments.figures.files import RunFiles

CAUSES = {"train": "compute", "pack": "compute", "merge": "compute", "up": "uplink", "down": "downlink"}
ORDER = ("compute", "uplink", "downlink", "waiting")


class Step(NamedTuple):
    """One thing that a round waited for. A transfer has the *node* that waited for it and the *sender*."""

    node: str
    sender: str
    tier: str
    cause: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Rounds:
    """Every root round: its *times* (start_s, end_s, seconds by round), and the *spans* that belong to one."""

    times: pd.DataFrame
    spans: pd.DataFrame


def rounds(files: RunFiles) -> Rounds:
    """The root rounds of a run. What the root trains alone (a pre-training) is in none of them."""
    spans = files.spans
    alone = (spans.node == files.root) & (spans.activity == "train")
    spans = spans[(spans["round"] > 0) & spans.activity.isin(CAUSES) & ~alone]
    ends = spans[(spans.activity != "down") | (spans.status == "interrupted")].groupby("round").end_s.max()
    spans = spans[spans.start_s < spans["round"].map(ends)]
    starts = spans.groupby("round").start_s.min()
    times = pd.DataFrame({"start_s": starts, "end_s": ends.loc[starts.index]})
    spans = spans.assign(cause=spans.activity.map(CAUSES), end_s=spans.end_s.clip(upper=spans["round"].map(ends)))
    return Rounds(times.assign(seconds=times.end_s - times.start_s), spans)


def critical_path(files: RunFiles, found: Rounds, round_: int) -> list[Step]:
    """What *round_* waited for, from its start to its end without a gap.

    Walked backwards from the root: at each node the last thing that was done before, and, where that was a reception,
    on to the sender. Where nothing had just ended, a node waited for a clock (a deadline). A transfer over several
    hops is one step, of the tier at its lower end.
    """
    start, now = (float(found.times[name][round_]) for name in ("start_s", "end_s"))
    done = _done(found, round_)
    node, steps = files.root, list[Step]()
    while now > start:
        row = _last(done.get(node, []), now)
        if row is None or row.end_s < now:
            began = start if row is None else row.end_s
            steps.append(Step(node, node, files.tier_of[node], "waiting", began, now))
            now = began
            continue
        sender = _origin(row, done)
        tier = max((node, sender), key=lambda end: files.depth[end])
        steps.append(Step(node, sender, files.tier_of[tier], row.cause, row.start_s, row.end_s))
        node, now = sender, row.start_s
    return steps[::-1]


def _done(found: Rounds, round_: int) -> dict[str, list[Any]]:
    """What each node computed or received in a round, in order of its end."""
    spans = found.spans
    rows = spans[(spans["round"] == round_) & (spans.status == "done") & (spans.kind != "transmit")]
    rows = rows[rows.end_s > rows.start_s].sort_values(["end_s", "start_s"], kind="stable")
    done: dict[str, list[Any]] = {}
    for row in rows.itertuples(index=False):
        done.setdefault(str(row.node), []).append(row)
    return done


def _last(rows: list[Any], now: float) -> Any:
    place = bisect_right(rows, now, key=lambda row: row.end_s)
    return rows[place - 1] if place else None


def _origin(row: Any, done: Mapping[str, list[Any]]) -> str:
    """The first sender of what *row* received: nodes between the two ends only pass it on, at the same time."""

    def hop(row: Any) -> tuple[Any, ...]:
        return row.kind, row.activity, row.turn, row.modules, row.nbytes, row.start_s, row.end_s

    while row.kind == "receive":
        before = next((other for other in done.get(row.peer, []) if hop(other) == hop(row)), None)
        if before is None:
            return str(row.peer)
        row = before
    return str(row.node)


def path_seconds(files: RunFiles, found: Rounds) -> pd.DataFrame:
    """Seconds of the mean root round by tier and cause along its critical path; they sum to its duration."""
    steps = [step for round_ in found.times.index for step in critical_path(files, found, int(round_))]
    table = pd.DataFrame(steps, columns=Step._fields)
    seconds = (table.end_s - table.start_s).groupby([table.tier, table.cause]).sum().unstack(fill_value=0.0)
    return seconds.reindex(index=list(files.tiers), columns=ORDER, fill_value=0.0).fillna(0.0) / len(found.times)


def node_seconds(files: RunFiles, found: Rounds) -> pd.DataFrame:
    """What the mean node of each tier does in the mean root round; each row sums to its duration.

    Sending and receiving count alike. Where a node does two things at once, the time goes to computing before uplink
    before downlink; waiting is the time in which it does none of them.
    """
    spans, out, before = found.spans, pd.DataFrame(index=pd.Index(files.tiers)), 0.0
    nodes = pd.Series(files.tiers) * len(found.times)
    for place, cause in enumerate(ORDER[:-1]):
        busy = _covered(spans[spans.cause.isin(ORDER[: place + 1])]).div(nodes).fillna(0.0)
        out[cause] = (busy - before).clip(lower=0.0)
        before = busy
    out["waiting"] = (found.times.seconds.mean() - out.sum(axis=1)).clip(lower=0.0)
    return out


def _covered(spans: pd.DataFrame) -> pd.Series:
    """Seconds that *spans* cover by tier: overlaps of one node in one round count once."""
    keys = ["round", "node"]
    spans = spans.sort_values([*keys, "start_s"], kind="stable")
    latest = spans.groupby(keys).end_s.cummax().groupby([spans["round"], spans.node]).shift()
    new = spans.end_s - spans.start_s.clip(lower=latest)
    return new.clip(lower=0.0).groupby(spans.tier).sum()
