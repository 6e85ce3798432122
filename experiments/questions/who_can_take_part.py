"""Which devices can train a vision-language model of true size, how much of it, and at what cost?

ViLT-B/32 as transformers builds it by default, on tensors without data: images of 384 x 384 pixels in 145 tokens,
questions of 40 tokens, 3,129 answers, LoRA of rank 8 in every layer, AdamW in float32. For every device of the
catalogue: the largest batch of up to 16 whose training step fits into its memory (0: none does) when all of the model
trains, the adapters and the head, or the head alone; and the seconds and joules above idle of a step on it. What the
system needs for itself is left out of the memory.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from experiments.questions.asking import Row, keep, parsed, show
from simulator.costs import compute_seconds
from simulator.interfaces import Work
from topologies.profiles import devices

if TYPE_CHECKING:
    from models.counting import Cost
    from models.nets.torch_module import TorchModel

QUESTION = "Which devices can take part in training ViLT-B/32?"
SIDE, WORDS, ANSWERS, RANK = 384, 40, 3129, 8
BATCH, STEPS = 16, 8  # a local training of the scenario
RESERVED = 1.5e9  # bytes
BACKBONE = ("encoder.image", "encoder.text", "trunk")
TRAINS: Mapping[str, tuple[str, ...]] = {
    "full": (*BACKBONE, "adapter", "head.answer"),
    "LoRA": ("adapter", "head.answer"),
    "head": ("head.answer",),
}


@cache
def vilt() -> TorchModel:
    """ViLT-B/32 with LoRA and a head, without data."""
    import torch
    from transformers import ViltConfig, ViltModel

    from models.data.samples import Task
    from models.nets.families import FAMILIES
    from models.nets.foundation import Foundation, Lora
    from models.nets.torch_module import TorchModel

    tasks = {"answer": Task("answer", ANSWERS)}
    with torch.device("meta"):
        network = Foundation(ViltModel(ViltConfig()), FAMILIES["vilt"], tasks, Lora(RANK))
    shapes = {"image": (3, SIDE, SIDE), "text": (WORDS,)}
    return TorchModel(network, shapes, tasks, network.names(), {"text": torch.int64})


@cache
def step(trains: str, batch: int) -> Cost:
    """One training step."""
    import torch

    from models.data.samples import Samples
    from models.footprint import training_step
    from models.objectives import Supervised
    from models.optimizers import AdamW
    from models.training import Recipe

    model = vilt()
    inputs = {m: torch.empty((1, *s), dtype=model.dtypes.get(m), device="meta") for m, s in model.shapes.items()}
    samples = Samples(inputs, {"answer": torch.empty(1, dtype=torch.int64, device="meta")})
    recipe = Recipe(Supervised(), AdamW(), 1, batch, frozenset(TRAINS[trains]))
    return training_step(model, model.held(model.shapes, model.tasks), samples, recipe, batch)


def answer(quick: bool) -> Sequence[Row]:
    """One row per device of the catalogue."""
    batches = (1, BATCH) if quick else range(1, BATCH + 1)
    rows = []
    for device in devices().values():
        row: dict[str, Any] = {"device": device.name, "memory GB": device.memory_bytes / 1e9}
        room = device.memory_bytes - RESERVED
        for trains in TRAINS:
            fitting = [batch for batch in batches if step(trains, batch).memory_bytes <= room]
            row[f"{trains} batch"] = max(fitting, default=0)
            if fitting:
                cost = step(trains, max(fitting))
                work = Work(cost.flops, cost.bytes_moved, cost.memory_bytes, cost.launches)
                seconds = compute_seconds(device, work)
                row |= {f"{trains} s": seconds, f"{trains} J": seconds * (device.busy_watts - device.idle_watts)}
        rows.append(row)
    return rows


def footprint() -> dict[str, dict[str, float]]:
    """What the scenario vilt_b32.yaml charges for a local training: what each module adds to those below it."""
    nbytes: dict[str, int] = {}
    for key, value in _shapes().items():
        name = key.partition("/")[0]
        name = "backbone" if name in BACKBONE else name
        nbytes[name] = nbytes.get(name, 0) + value.numel() * value.element_size()
    head, lora, full = (step(trains, BATCH) for trains in ("head", "LoRA", "full"))
    parts = {"backbone": (full, lora), "adapter": (lora, head), "head.answer": (head, None)}
    return {name: {"bytes": nbytes[name], **_added(*two)} for name, two in parts.items()}


def _shapes() -> Mapping[str, Any]:
    from models.footprint import shapes

    return shapes(vilt())


def _added(cost: Cost, below: Cost | None) -> dict[str, float]:
    figures = {"flops": "flops", "moved": "bytes_moved", "launches": "launches", "memory": "memory_bytes"}
    less = {name: getattr(cost, key) - (getattr(below, key) if below else 0) for name, key in figures.items()}
    return {name: value * (1 if name == "memory" else STEPS) for name, value in less.items()}


def main() -> None:
    """Run the script."""
    options = parsed(QUESTION)
    try:
        import transformers  # noqa: F401
    except ImportError:
        from models.nets.families import EXTRA

        print(EXTRA, file=sys.stderr)
        raise SystemExit(2) from None
    rows = answer(options.quick)
    keep(rows, options)
    if options.out:
        from experiments.figures.participation import draw

        needed = {trains: (step(trains, 1).memory_bytes, step(trains, BATCH).memory_bytes) for trains in TRAINS}
        draw(options.out, rows, needed, RESERVED, BATCH)
    if not options.json:
        show(QUESTION, rows)


if __name__ == "__main__":
    main()
