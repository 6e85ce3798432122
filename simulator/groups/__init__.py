"""Many like devices as arrays: one event a round instead of a process each."""
