"""What a scenario may say: its sections, their units and checks, and how mistakes in them are told."""
