"""What is learned: multi-modal multi-task models as named modules, their data, training, merging and footprint."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
