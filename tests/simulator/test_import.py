import subprocess
import sys

import simulator

HEAVY = {"torch", "models", "pandas", "sklearn", "matplotlib"}


def test_public_names_are_all_there():
    assert all(getattr(simulator, name) is not None for name in simulator.__all__)
    assert {"simulate", "CostOnly", "Plan", "Stage", "Fluid", "Log"} <= set(simulator.__all__)


def test_a_run_of_costs_imports_neither_torch_nor_models_nor_pandas():
    code = f"""
import sys, simulator, topologies
names = [getattr(simulator, name) for name in simulator.__all__]
stage = simulator.Stage("s", simulator.Plan(classroom=simulator.TierPlan(("m",))), trainable=("m",))
assert simulator.simulate(topologies.classroom(2), simulator.CostOnly({{"m": simulator.Size(8, 8)}}), [stage]).spans
print({HEAVY!r} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
