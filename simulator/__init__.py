"""When things happen and at what cost: the discrete-event simulation of a federation over a hierarchy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
