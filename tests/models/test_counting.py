"""What is counted, against hand counts and against what the allocator says of real tensors."""

import pytest
import torch
from torch.nn.functional import linear
from torch.profiler import ProfilerActivity, profile

from models.counting import Cost, count

NUMBER = 4  # bytes of a float32


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("n", "i", "o"), [(3, 5, 2), (16, 7, 9)])
def test_one_linear_layer_by_hand(device, n, i, o):
    """One product forward; one for the weights and a sum for the bias backward. Transposes are views and cost none."""
    x, weight, bias, grad = (torch.ones(shape, device=device) for shape in ((n, i), (i, o), (o,), (n, o)))
    own = [weight.requires_grad_(), bias.requires_grad_()]
    cost = count(lambda: torch.autograd.grad(linear(x, weight.T, bias), own, grad), [x, weight, bias, grad])
    forward = (n * i + i * o + o) + n * o
    backward = (n * i + n * o) + i * o + n * o + o
    held = n * i + i * o + o + n * o
    assert cost.flops == 2 * 2 * n * i * o
    assert cost.launches == 3
    assert cost.bytes_moved == NUMBER * (forward + backward)
    assert cost.memory_bytes == NUMBER * (held + n * o + i * o + o)  # the output, and both gradients


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_what_a_result_is_put_into_is_written_and_not_read(device):
    x, y, out = (torch.ones(8, device=device) for _ in range(3))
    cost = count(lambda: torch.mul(x, y, out=out), [x, y, out])
    assert cost == Cost(0, NUMBER * 3 * 8, 1, NUMBER * 3 * 8)


def stack_peak(layers, n, d):
    """In numbers, above what is held: units of n·d for activations, and the gradients that have piled up."""
    unit, pile = n * d, d * d + d
    forward = (layers + 1) * unit  # every relu's output is kept; the last linear's goes once its relu is done
    backward = []
    for k in range(layers, 0, -1):
        done, incoming = (layers - k) * pile, unit if k < layers else 0  # the first gradient is one number, seen often
        backward.append(done + k * unit + incoming + unit)  # through the relu, whose output is still there
        passed_on = unit if k > 1 else 0  # nobody asks for the gradient of the data
        backward.append(done + (k - 1) * unit + unit + passed_on + pile)
    return max(forward, *backward)


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("layers", "n", "d"), [(1, 4, 6), (5, 64, 8), (5, 2, 16), (3, 16, 16)])
def test_the_peak_of_a_stack_by_hand(device, layers, n, d):
    x = torch.ones(n, d, device=device)
    weights = [torch.ones(d, d, device=device, requires_grad=True) for _ in range(layers)]
    biases = [torch.ones(d, device=device, requires_grad=True) for _ in range(layers)]

    def loss():
        h = x
        for weight, bias in zip(weights, biases, strict=True):
            h = torch.relu(linear(h, weight.T, bias))
        return h.sum()

    cost = count(lambda: torch.autograd.grad(loss(), [*weights, *biases]), [x, *weights, *biases])
    held = n * d + layers * (d * d + d)
    scalars = cost.memory_bytes / NUMBER - held - stack_peak(layers, n, d)
    assert 0 <= scalars <= 2  # the loss and its gradient of one


def test_what_is_freed_leaves_and_what_is_held_stays():
    x = torch.empty(10, device="meta")

    def work():
        for _ in range(5):
            x + 1

    assert count(work, [x]).memory_bytes == NUMBER * 20
    assert count(lambda: [x + i for i in range(5)], [x]).memory_bytes == NUMBER * 60
    assert count(lambda: x.view(2, 5).T, [x, x, x[:3]]).memory_bytes == NUMBER * 10  # one storage, however often seen


def test_views_are_free_and_what_is_repeated_is_there_once():
    x, row = torch.empty(4, 3, device="meta"), torch.empty(3, device="meta")
    assert count(lambda: x.T.reshape(3, 4)[1:]) == Cost()
    assert count(lambda: row.expand(4, 3) + x).bytes_moved == NUMBER * (3 + 12 + 12)
    assert count(lambda: x.add_(row)).bytes_moved == NUMBER * (12 + 3 + 12)
    assert count(lambda: torch.zeros_like(x)).bytes_moved == NUMBER * 12  # looks at a shape, reads nothing
    assert count(lambda: torch.empty_like(x)) == Cost(memory_bytes=NUMBER * 12)


def test_costs_add_up_and_of_two_peaks_the_higher_counts():
    assert Cost(1, 2, 3, 40) + Cost(10, 20, 30, 4) == Cost(11, 22, 33, 40)
    assert Cost(1, 2, 3, 40) * 3 == Cost(3, 6, 9, 40)
    assert Cost(1, 2, 3, 40) * 0 == Cost()


def test_the_allocator_sees_the_same_peak():
    """Real tensors: the profiler reports every allocation, those inside of operations too."""
    x, weight = torch.ones(32, 24), torch.ones(24, 24, requires_grad=True)

    def work():
        torch.autograd.grad(torch.softmax(torch.relu(x @ weight) @ weight, -1).square().mean(), [weight])

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    now = peak = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    assert now == 0
    assert count(work).memory_bytes == pytest.approx(peak, abs=64)


def test_in_inference_mode_the_same_operations_are_counted():
    def work():
        torch.nn.functional.linear(torch.ones(4, 8), torch.ones(16, 8))

    with torch.inference_mode():
        assert count(work).flops == 2 * 4 * 8 * 16
    with torch.no_grad():
        usual = count(work)
    with torch.inference_mode():
        assert count(work) == usual
