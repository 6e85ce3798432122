"""Local rules, merge rules and uplink transforms: what an algorithm is made of."""
