"""Scenarios and what is made of them: runs, baselines, tables, plots; the command line."""

import os

os.environ.setdefault("MKL_CBWR", "AVX2")  # before torch's first operation: the same bits whatever the alignment

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
