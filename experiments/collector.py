"""Python's collector of cyclic garbage, during a simulation."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (100_000, 20, 100)  # new objects that are still there; then how many collections of the younger ones


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Within it, Python looks for cyclic garbage seldom, and never among what was there before.

    A run makes very many small objects and hardly any cycle; looking through all of them took half of its time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
