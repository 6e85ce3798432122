import pytest
import torch

from models import SGD, AdamW


@pytest.mark.parametrize("rule", [AdamW(1e-2, 0.1), AdamW(1e-3), SGD(0.1), SGD(0.1, 0.9, 0.01)])
def test_equals_torch_optim(rule):
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    theirs = ours.clone().requires_grad_()
    library = rule.torch([theirs])
    state = tuple(torch.zeros_like(ours) for _ in range(rule.slots))
    for step in range(1, 8):
        grad = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        rule.update(ours, grad.clone(), state, step)
        theirs.grad = grad
        library.step()
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-14)
