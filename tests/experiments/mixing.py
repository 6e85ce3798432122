"""The study that mixes modalities, tasks, numbers of batches and optimizers, and the hashes of its runs."""

from experiments.benchmarks._mixing import MIXING, TABLES, mixing, tables_hash, weights_hash

__all__ = ["MIXING", "TABLES", "mixing", "tables_hash", "weights_hash"]
