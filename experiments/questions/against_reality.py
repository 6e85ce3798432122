"""Does the simulator tell how long a federated round takes on a real machine?

A cloud, edges and eight devices run as processes of this machine: real PyTorch steps, real tensors over loopback
sockets that are throttled in the program. Every second configuration calibrates the twin in the simulator, the others
are predicted. Two designs of the twin: the processor is shared at no loss (fair), or switching between more jobs than
cores takes some of it (crowded). Rounds during which others used this machine are repeated. The figures are of this
machine, so no two runs are alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from experiments.questions.asking import Row, keep, parsed, show

if TYPE_CHECKING:  # every process of the federation imports this file again
    from experiments.reality.calibration import Observed
    from experiments.reality.federation import Measured
    from experiments.reality.twin import Parameters, Simulated

QUESTION = "Does the simulator tell how long a federated round takes on a real machine?"
DESIGNS: tuple[Literal["fair", "crowded"], ...] = ("fair", "crowded")
FULL: Mapping[str, Any] = {"passes": 3, "rounds": 2, "budget_seconds": 390.0}
QUICK: Mapping[str, Any] = {"passes": 1, "rounds": 2, "budget_seconds": 12.0}


def answer(quick: bool) -> dict[str, Sequence[Row]]:
    """Measure, calibrate on every second configuration, predict: rows by configuration, by design and of parameters."""
    from experiments.reality import configurations, federation

    chosen = configurations.QUICK if quick else configurations.CONFIGURATIONS
    return compared(federation.measure(chosen, **(QUICK if quick else FULL)), os.cpu_count() or 1)


def compared(measured: Sequence[Measured], cores: int) -> dict[str, Sequence[Row]]:
    """The answer to rounds measured on a machine of so many *cores*."""
    from experiments.reality.calibration import calibrate, observed
    from experiments.reality.twin import twin

    seen = [observed(one) for one in measured]
    rows = [_configuration(one, real, number) for number, (one, real) in enumerate(zip(measured, seen, strict=True))]
    designs, parameters = _itself(measured), list[Row]()
    for design in DESIGNS:
        found = calibrate(seen[::2], cores, design)
        simulated = [twin(one.configuration, found, cores, design) for one in seen]
        for row, real, twin_round in zip(rows, seen, simulated, strict=True):
            row[f"{design} s"] = twin_round.seconds
            row[f"{design} off %"] = 100 * (twin_round.seconds / real.seconds - 1)
        designs += [_design(f"{design}, calibrating", seen[::2], simulated[::2])]
        designs += [_design(f"{design}, predicted", seen[1::2], simulated[1::2])]
        parameters.append({"design": design, **_figures(found)})
    return {"configurations": rows, "designs": designs, "parameters": parameters}


def _configuration(measured: Measured, seen: Observed, number: int) -> dict[str, Any]:
    times = sorted(round_.seconds for round_ in measured.kept)
    return {
        "configuration": measured.configuration.name,
        "half": "predicted" if number % 2 else "calibrating",
        "fit": len(measured.fit),
        "disturbed": (disturbed := sum(not round_.clean for round_ in measured.rounds)),
        "slowed": len(measured.rounds) - disturbed - len(measured.fit),
        "measured s": seen.seconds,
        "range %": 100 * (times[-1] - times[0]) / seen.seconds,
    }


def _figures(found: Parameters) -> Row:
    steps = {f"{net} step ms": 1e3 * seconds for net, seconds in found.step_seconds.items()}
    lost = {f"{net} crowding %": 100 * share for net, share in found.crowding.items()}
    return {**steps, **lost, "message ms": 1e3 * found.message_seconds, "copy ns/B": 1e9 * found.copy_seconds_per_byte}


def _design(name: str, seen: Sequence[Observed], simulated: Sequence[Simulated]) -> Row:
    """How well a design does, and the mean of its residuals by cause, in percent of the round."""
    from experiments.reality.comparison import agreement
    from experiments.reality.phases import CAUSES

    found = agreement([one.seconds for one in seen], [one.seconds for one in simulated])
    pairs = list(zip(seen, simulated, strict=True))
    residuals = {
        f"{cause} %": 100 * fmean((twin.causes[cause] - real.causes[cause]) / real.seconds for real, twin in pairs)
        for cause in CAUSES
    }
    return {"design": name, **found.percent(), "met": found.met, **residuals}


def _itself(measured: Sequence[Measured]) -> list[Row]:
    """How well reality predicts itself, where rounds were repeated: every second one against the others."""
    from experiments.reality.comparison import repeatability

    times = [[round_.seconds for round_ in one.kept] for one in measured]
    if max(map(len, times)) == 1:
        return []
    return [{"design": "reality, by itself", **repeatability(times).percent()}]


def main() -> None:
    """Run the script."""
    options = parsed(QUESTION)
    found = answer(options.quick)
    keep(found, options)
    if options.out:
        from experiments.reality.figure import draw

        rows, best = found["configurations"], DESIGNS[-1]
        real, twin = ([row[name] for row in rows] for name in ("measured s", f"{best} s"))
        draw(options.out, real, twin, [row["half"] == "predicted" for row in rows])
    if not options.json:
        show(QUESTION, found["configurations"])
        show("How well each design does", found["designs"])
        show("What this machine takes", found["parameters"])


if __name__ == "__main__":
    main()
