"""The validation room: the simulator beside theory and beside other simulators; ``python -m experiments.validation``.

One file per group of checks. A check runs the simulator and gives rows of what was expected and what came out; `cases/`
holds the stored references. `docs/validation.md` is made here, and `tests/validation` asserts the same rows.
"""
