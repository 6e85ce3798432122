import pytest
import torch

from models import means
from models.means import SMALL, weighted_sum


@pytest.mark.parametrize("shape", [(1,), (), (2,), (1, 3), (7,), (16, 5), (129,), (SMALL,), (SMALL + 1,)])
@pytest.mark.parametrize("count", [1, 2, 9, 64, 135])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("block", [means.BLOCK, 300])
def test_it_adds_one_after_the_other(shape, count, dtype, block, monkeypatch):
    monkeypatch.setattr(means, "BLOCK", max(block, torch.Size(shape).numel()))
    if torch.Size(shape).numel() >= SMALL and count > 9:
        count = 3
    generator = torch.Generator().manual_seed(count)
    tensors = [torch.randn(shape, generator=generator).to(dtype) for _ in range(count)]
    weights = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    expected = torch.zeros(shape, dtype=dtype)
    for tensor, weight in zip(tensors, weights, strict=True):
        expected = expected + tensor * weight
    got = weighted_sum(tensors, weights)
    assert got.shape == expected.shape
    assert torch.equal(got, expected)
    assert all(got.data_ptr() != tensor.data_ptr() for tensor in tensors)
