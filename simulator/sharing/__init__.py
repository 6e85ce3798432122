"""Who gets how much of what is shared, and how that is kept true as flows come and go."""
