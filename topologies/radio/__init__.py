"""Distance to rate: path loss and sight, fading, MCS and Shannon rates, what one link knows of them, and contention."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
