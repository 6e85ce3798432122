"""Run the benchmarks that are named, or all of them; one JSON line each."""

from __future__ import annotations

import json
import sys

from experiments.benchmarks import names, report


def main(wanted: list[str]) -> int:
    """Print a line per benchmark; 0 if all goals are met, 1 if one is not, 2 for a name that there is not."""
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there are {', '.join(names())}", file=sys.stderr)
        return 2
    met = True
    for name in wanted or names():
        line = report(name)
        print(json.dumps(line), flush=True)
        met &= line["met"]
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
