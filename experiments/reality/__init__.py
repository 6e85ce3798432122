"""A small federation run for real on this machine, and its twin in the simulator: what against_reality compares."""
