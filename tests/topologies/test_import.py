import subprocess
import sys

import topologies


def test_public_names_are_all_there():
    assert len(topologies.__all__) == 18
    assert all(getattr(topologies, name) is not None for name in topologies.__all__)


def test_profiles_load_neither_networkx_nor_numpy_nor_pandas():
    code = "import sys, topologies; topologies.devices(); print({'networkx', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
