"""Models that are PyTorch modules: a user's own, and foundation models with what trains beside them."""
