"""Checks of knobs: ValueError that says which, and what it may be."""


def positive(algorithm: str, **knobs: float) -> None:
    """All above 0."""
    for name, value in knobs.items():
        if not value > 0:
            raise ValueError(f"{algorithm}: {name} must be > 0, got {value}")


def not_negative(algorithm: str, **knobs: float) -> None:
    """All 0 or more."""
    for name, value in knobs.items():
        if not value >= 0:
            raise ValueError(f"{algorithm}: {name} must be >= 0, got {value}")


def below(limit: float, algorithm: str, **knobs: float) -> None:
    """All 0 or more, and below *limit*."""
    for name, value in knobs.items():
        if not 0 <= value < limit:
            raise ValueError(f"{algorithm}: {name} must be >= 0 and < {limit:g}, got {value}")


def share(algorithm: str, **knobs: float) -> None:
    """All above 0 and at most 1."""
    for name, value in knobs.items():
        if not 0 < value <= 1:
            raise ValueError(f"{algorithm}: {name} must be > 0 and <= 1, got {value}")


def count(algorithm: str, least: int, **knobs: int) -> None:
    """All whole numbers, *least* or more, and below 2^31."""
    for name, value in knobs.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{algorithm}: {name} must be a whole number, {least} or more, got {value}")
        if value >= 2**31:
            raise ValueError(f"{algorithm}: {name} must be below 2^31, got {value}")
