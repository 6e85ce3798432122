import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models import Task, initial
from models.mlp import MLP
from models.model import nest

TASKS = {"digit": Task("digit", 10), "score": Task("score")}
MODEL = MLP({"image": (8, 8)}, TASKS, (5, 3))


def test_it_is_the_same_function_as_torch_layers():
    params = initial(MODEL, 0, torch.float64)
    x = torch.rand(7, 8, 8, dtype=torch.float64)
    layers = torch.nn.Sequential(
        torch.nn.Linear(64, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3), torch.nn.ReLU()
    ).double()
    for i, layer in enumerate((layers[0], layers[2])):
        layer.weight.data = params[f"encoder.image/{i}.weight"].T
        layer.bias.data = params[f"encoder.image/{i}.bias"]
    out = MODEL.forward(nest(params), {"image": x}, ("digit", "score"))
    for task in TASKS:
        expected = F.linear(layers(x.flatten(1)), params[f"head.{task}/weight"].T, params[f"head.{task}/bias"])
        assert torch.allclose(out[task], expected, rtol=1e-12, atol=1e-12)


def test_a_node_holds_what_its_tasks_need():
    assert set(MODEL.held(["image"], ["digit", "score"])) == set(initial(MODEL, 0))
    assert {key.partition("/")[0] for key in MODEL.held(["image"], ["score"])} == {"encoder.image", "head.score"}
    assert MODEL.path("score", ["image"]) == MODEL.needs("score", ["image"]) == ("encoder.image", "head.score")
    assert [MODEL.probe_shape(name) for name in MODEL.modules] == [(1, 64), (1, 3), (1, 3)]


@pytest.mark.parametrize(
    ("shapes", "hidden", "what"), [({"a": (1,), "b": (1,)}, (2,), "one modality"), ({"a": (1,)}, (), "hidden")]
)
def test_mistakes_are_told(shapes, hidden, what):
    with pytest.raises(ValueError, match=what):
        MLP(shapes, TASKS, hidden)
