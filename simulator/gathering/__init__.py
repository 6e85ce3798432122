"""One turn of a node: which children it asks, whom it waits for, and what becomes of those that are late."""
