"""Backbones from a local folder or a hub's name: safetensors only, and no code that comes with the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from models.nets.families import EXTRA, unreachable


def load(backbone: str, revision: str = "main") -> nn.Module:
    """The backbone in float32, attending in plain matrix products; ValueError where it cannot be had whole."""
    try:
        from transformers import AutoModel
    except ImportError:
        raise ValueError(EXTRA) from None
    local = (Path(backbone) / "config.json").is_file()
    where: dict[str, Any] = {"local_files_only": True} if local else {"revision": revision}
    with quiet():
        try:
            model, told = AutoModel.from_pretrained(
                backbone,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="eager",
                output_loading_info=True,
                **where,
            )
        except (OSError, ValueError, KeyError) as error:
            if not local:
                raise ValueError(unreachable(backbone, error)) from None
            why = str(error).strip().splitlines()[0]
            raise ValueError(f"backbone {backbone}: only weights in safetensors are read ({why})") from None
    if lacking := sorted(told["missing_keys"]):
        raise ValueError(
            f"backbone {backbone}: its weights lack {lacking[0]} and {len(lacking) - 1} more; take another"
        )
    return model.float()


@contextmanager
def quiet() -> Iterator[None]:
    """transformers says nothing but errors, and shows no bars, meanwhile."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
