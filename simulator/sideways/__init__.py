"""What siblings do among themselves over links beside the tree: relays, consensus, gossip, cooperation."""
