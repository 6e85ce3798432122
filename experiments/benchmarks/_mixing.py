"""One small study that mixes what can differ: modalities, tasks, numbers of batches, optimizers; and hashes of a run.

Three stages on one tree of two campuses: masked pre-training in the cloud with AdamW, federated rounds with AdamW, and
a last stage of heads and adapters with SGD, momentum and clipping. Some devices lack a modality or a task, some have a
batch more than others.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

TABLES = ("spans.csv.gz", "metrics.csv", "nodes.csv", "events.csv", "footprint.csv", "energy.csv", "work.csv")
ADAMW = {"name": "adamw", "lr": 5e-3}

MIXING: dict[str, Any] = {
    "title": "A little of everything",
    "seed": 11,
    "topology": {
        "kind": "district",
        "campuses": 2,
        "classrooms": 2,
        "devices": 3,
        "device_mix": {"chromebook_n100": 0.5, "laptop_i5u": 0.5},
        "access": "wifi6_40mhz_2x2",
        "campus_link": "campus_10g",
        "cloud_link": "wan_cloud_near",
    },
    "data": {
        "source": "campus",
        "partition": {"kind": "dirichlet", "alpha": 0.5},
        "missing_modality": 0.25,
        "missing_task": 0.15,
        "public": 1000,
        "test": 360,
    },
    "model": {
        "width": 16,
        "trunk": {"layers": 2, "heads": 2, "frozen": True},
        "adapters": {"width": 4, "last": 1},
        "offsets": ["campus", "classroom"],
        "tasks": ["answer", "engagement", "outcome"],
    },
    "plan": {
        "classroom": {"modules": ["head.*", "offset.*", "adapter", "encoder.*"], "rounds": 2},
        "campus": {"modules": ["head.*", "offset.campus", "adapter", "encoder.*"], "rounds": 1},
        "cloud": {"modules": ["head.*", "adapter", "encoder.*"], "rounds": 2},
    },
    "learning": {"optimizer": ADAMW, "local_epochs": 2, "batch_size": 12},
    "stages": [
        {
            "name": "pretrain",
            "at": "cloud",
            "trainable": ["trunk", "encoder.*", "decoder.*"],
            "objective": "masked",
            "epochs": 1,
            "optimizer": {"name": "adamw", "lr": 1e-3},
        },
        {"name": "federate", "at": "device", "trainable": ["encoder.*", "adapter", "head.*", "offset.*"]},
        {
            "name": "finish",
            "at": "device",
            "trainable": ["adapter", "head.*"],
            "epochs": 1,
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3, "clip": 0.5},
            "plan": {
                "classroom": {"modules": ["head.*", "adapter"]},
                "campus": {"modules": ["head.*", "adapter"]},
                "cloud": {"modules": ["head.*", "adapter"], "rounds": 3},
            },
        },
    ],
    "evaluate": {"every": 1, "tiers": ["device", "cloud"], "moments": ["after_merge", "after_broadcast"]},
    "plots": False,
}


class Held(Protocol):
    """What a node knows: its weights by name."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...


def mixing(**changes: Any) -> dict[str, Any]:
    """The study with other top-level keys."""
    return {**MIXING, **changes}


def tables_hash(folder: Path) -> str:
    """One hash over every table of a run folder."""
    found = sha256()
    for name in TABLES:
        content = (folder / name).read_bytes()
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()


def weights_hash(states: Mapping[str, Held]) -> str:
    """One hash over all weights of all nodes, names, types and shapes included."""
    found = sha256()
    for node in sorted(states):
        for key, value in sorted(states[node].tensors.items()):
            found.update(f"{node} {key} {value.dtype} {tuple(value.shape)}\n".encode())
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
