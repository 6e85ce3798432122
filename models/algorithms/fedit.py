"""Low-rank adapters, averaged factor by factor."""

from models.algorithms._lora import LowRank
from models.federation.algorithm import Algorithm


def fedit() -> Algorithm:
    """FedIT: means of LoRA's factors, biased as mean(A) mean(B) is not mean(AB) (Zhang et al. 2023, arXiv 2305.05644).

    Plain averaging: which modules travel is up to the plan, such as ``modules: [adapter, "head.*"]``. What ``flora``
    and ``ffa_lora`` are to be held against.
    """
    return Algorithm(check=LowRank("fedit"))
