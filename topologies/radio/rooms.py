"""A room in which students sit."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, isfinite

from ..streams import stream

NEAREST_METRES = 1.0  # to the access point; nearer, no path-loss model holds
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Room:
    """A floor from (0, 0) to (width, depth), with an access point, in the middle unless said otherwise."""

    width_metres: float
    depth_metres: float
    access_point: Point | None = None

    def __post_init__(self) -> None:
        for name in ("width_metres", "depth_metres"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"room: {name} must be > 0, got {getattr(self, name)}")
        x, y = self.centre
        if not (0 <= x <= self.width_metres and 0 <= y <= self.depth_metres):
            raise ValueError(f"room: the access point at {x:g}, {y:g} m is outside; move it in, or widen the room")
        corners = [(x, y), (self.width_metres - x, y), (x, self.depth_metres - y)]
        corners.append((self.width_metres - x, self.depth_metres - y))
        if max(hypot(*corner) for corner in corners) < 1.25 * NEAREST_METRES:
            raise ValueError("room: hardly a seat is 1 m from the access point; widen the room")

    @property
    def centre(self) -> Point:
        """Where the access point is."""
        return self.access_point or (self.width_metres / 2, self.depth_metres / 2)

    def seat(self, seed: int, name: str) -> Point:
        """Where the student of that name sits: anywhere in the room, at least 1 m from the access point."""
        random, (x, y) = stream(seed, "place", name), self.centre
        while True:
            seat = float(random.random() * self.width_metres), float(random.random() * self.depth_metres)
            if hypot(seat[0] - x, seat[1] - y) >= NEAREST_METRES:
                return seat
