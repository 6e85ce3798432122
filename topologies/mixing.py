"""Matrices that let neighbours agree on their mean: symmetric, every row adds up to 1. Rows in the graph's order."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def laplacian(graph: nx.Graph, c: float = 2.0) -> Matrix:
    """I - d L with the Laplacian L and d = 1 / (c max degree), c > 1 (Xiao and Boyd 2004; MH-FL, arXiv 2007.09511).

    Raises ValueError for c <= 1, where it need not converge.
    """
    if not c > 1:
        raise ValueError(f"consensus: c must be > 1, got {c}")
    links = _adjacency(graph)
    degrees = links.sum(axis=0)
    step = 1 / (c * max(degrees.max(initial=0.0), 1.0))
    out: Matrix = np.eye(len(links)) - step * (np.diag(degrees) - links)
    return out


def metropolis(graph: nx.Graph) -> Matrix:
    """W_ij = 1 / (1 + max(d_i, d_j)) between neighbours of degrees d, the rest on the diagonal (Xiao and Boyd 2004)."""
    links = _adjacency(graph)
    degrees = links.sum(axis=0)
    out: Matrix = links / (1 + np.maximum.outer(degrees, degrees))
    return out + np.diag(1 - out.sum(axis=1))


def spectral_radius(matrix: Matrix) -> float:
    """Of V - 11^T/n: by how much a round of mixing shrinks what the nodes differ by, at least. 1: never all agree."""
    n = len(matrix)
    return float(np.abs(np.linalg.eigvalsh(matrix - np.full((n, n), 1 / n))).max())


def _adjacency(graph: nx.Graph) -> Matrix:
    """1 where two can hear each other, both ways."""
    order = {node: place for place, node in enumerate(graph)}
    out: Matrix = np.zeros((len(order), len(order)))
    for a, b in graph.edges:
        if a != b and a in graph.adj[b]:
            out[order[a], order[b]] = out[order[b], order[a]] = 1.0
    return out
