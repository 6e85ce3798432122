"""Any torch.nn.Module as a model: what it must be, and that it trains like itself."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from models import SGD, AdamW, Client, Learner, Recipe, Samples, Study, Supervised, Task, initial, stacked, training
from models.evaluation import predict
from models.model import module, nest
from models.nets.torch_module import TorchModel, seeded
from models.training import Job

SHAPES = {"image": (6, 6), "record": (5,)}
TASKS = {"answer": Task("answer", 3), "mark": Task("mark")}
NAMES = {"image.*": "encoder.image", "record.*": "encoder.record", "body.*": "trunk", "heads.answer.*": "head.answer"}
NAMES |= {"heads.mark.*": "head.mark"}


class Net(nn.Module):
    """A convolution, a table of vectors, attention, norms: what vmap has rules for and what not."""

    def __init__(self, width=8):
        super().__init__()
        self.image = nn.Conv2d(1, width, 3, stride=3)
        self.record = nn.Linear(5, width)
        self.body = nn.ModuleDict({"mix": nn.Linear(width, width), "norm": nn.LayerNorm(width)})
        self.heads = nn.ModuleDict({"answer": nn.Sequential(nn.Linear(width, 4), nn.ReLU(), nn.Linear(4, 3))})
        self.heads["mark"] = nn.Linear(width, 1)

    def forward(self, image, record=None):
        x = torch.relu(self.image(image.unsqueeze(1))).flatten(2).mean(2)
        if record is not None:
            x = x + self.record(record)
        x = self.body["norm"](x + torch.tanh(self.body["mix"](x)))
        return {task: head(x) for task, head in self.heads.items()}


def model(lanes=1, net=Net):
    return TorchModel(seeded(net, 3), SHAPES, TASKS, NAMES, lanes=lanes)


def jobs(some, count, dtype=torch.float32, records=True):
    rng = np.random.default_rng(0)
    start, out = initial(some, 0, dtype), []
    for i in range(count):
        n = int(rng.integers(3, 20))
        inputs = {m: torch.tensor(rng.normal(size=(n, *s)), dtype=dtype) for m, s in SHAPES.items()}
        inputs = {m: x for m, x in inputs.items() if m != "record" or records}
        targets = {"answer": torch.tensor(rng.integers(0, 3, n)), "mark": torch.tensor(rng.normal(size=n), dtype=dtype)}
        own = {k: v + 0.1 * torch.tensor(rng.normal(size=v.shape), dtype=dtype) for k, v in start.items()}
        held = some.held(inputs, targets)
        own = {k: v if module(k) != "trunk" else start[k] for k, v in own.items() if k in held}
        out.append(Job(f"n{i}", own, Samples(inputs, targets), 5, i))
    return out


def recipe(some, optimizer=AdamW(0.01), frozen=("trunk",)):  # noqa: B008
    return Recipe(Supervised(), optimizer, 2, 4, frozenset(name for name in some.modules if name not in frozen))


def same(one, other):
    return all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("records", [True, False])
def test_it_trains_like_the_plain_loop(lanes, records):
    some = model(lanes)
    work, how = jobs(some, 6, torch.float64, records), recipe(some, SGD(0.05, momentum=0.9))
    expected = training.train_all(some, work, how)
    for got, want, job in zip(stacked.train_all(some, work, how, 4), expected, work, strict=True):
        for key, value in want.items():
            torch.testing.assert_close(got[key], value, rtol=1e-9, atol=1e-12)
            assert torch.equal(value, job.tensors[key]) == (module(key) == "trunk"), key


@pytest.mark.parametrize("lanes", [1, 3])
def test_its_bits_do_not_depend_on_the_stack(lanes):
    some = model(lanes)
    work, how = jobs(some, 11), recipe(some)
    whole = stacked.train_all(some, work, how, 11)
    pairs = [(job.tensors, job.samples) for job in work]
    outputs = predict(some, pairs, 11)
    for chunk in (1, 2, 7):
        assert same(stacked.train_all(some, work, how, chunk), whole)
        assert same(predict(some, pairs, chunk), outputs)


def test_plain_torch_gives_the_same_step():
    """The network itself with torch's own loss and optimizer."""
    some, net = model(), seeded(Net, 3)
    (job,) = jobs(some, 1)
    job = replace(job, tensors=initial(some, 0))
    how = replace(recipe(some, SGD(0.1), ()), epochs=1, batch_size=32)
    net.zero_grad()
    out = net(**job.samples.inputs)
    y = job.samples.targets
    loss = F.cross_entropy(out["answer"], y["answer"]) + F.mse_loss(out["mark"].squeeze(-1), y["mark"])
    loss.backward()
    (got,) = stacked.train_all(some, [job], how)
    for name, value in net.named_parameters():
        torch.testing.assert_close(got[f"{some.owner[name]}/{name}"], value - 0.1 * value.grad, rtol=1e-5, atol=1e-6)


def test_weights_begin_as_they_were_made_and_nothing_global_changes():
    before = torch.get_rng_state()
    some, again = model(), model()
    assert torch.equal(torch.get_rng_state(), before)
    assert same([initial(some, 0)], [initial(again, 1)])
    other = TorchModel(seeded(Net, 4), SHAPES, TASKS, NAMES)
    assert not same([initial(some, 0)], [initial(other, 0)])


def test_who_lacks_a_modality_or_a_task_holds_less():
    some = model()
    held = {module(key) for key in some.held(["image"], ["mark"])}
    assert held == {"encoder.image", "trunk", "head.mark"}
    assert some.modalities(some.held(["image"], ["mark"])) == ("image",)
    with pytest.raises(ValueError, match=r"a client lacks image, which Net.forward needs; give that .*image=None"):
        some.held(["record"], ["mark"])


def test_a_client_is_scored_on_what_it_has():
    some = model()
    work = jobs(some, 2)
    client = Client(work[0].samples, work[1].samples)
    study = Study(SHAPES, TASKS, {"a": client}, work[1].samples)
    learner = Learner(some, study, {"a": frozenset(initial(some, 0))}, {"s": recipe(some)})
    learner.enter(type("S", (), {"name": "s", "trainable": tuple(n for n in some.modules if n != "trunk")})())
    trained = learner.train("a", learner.start("a"), 0)
    assert {score.task for score in learner.evaluate({"a": trained})} == set(TASKS)
    packed = learner.pack("a", "a", trained, ("head.answer", "encoder.image"))
    sizes = {
        n: 4 * sum(p.numel() for p in some.network.get_submodule(n).parameters()) for n in ("heads.answer", "image")
    }
    assert packed.nbytes == sum(sizes.values())


def test_another_process_gets_the_same_model():
    some = model()
    again = pickle.loads(pickle.dumps(some))
    (job,) = jobs(some, 1)
    assert same(stacked.train_all(some, [job], recipe(some)), stacked.train_all(again, [job], recipe(again)))


def test_a_task_asked_for_alone_is_computed_alone():
    class Asked(Net):
        asked = ()

        def forward(self, image, record=None, tasks=()):
            type(self).asked = tasks
            return super().forward(image, record)

    some = model(net=Asked)
    x = {m: torch.zeros(2, *s) for m, s in SHAPES.items()}
    assert set(some.forward(nest(initial(some, 0)), x, ["mark"])) == {"mark"}
    assert Asked.asked == ("mark",)


def with_layer(name, layer):
    net = Net()
    net.body[name] = layer
    return net


class Noisy(Net):
    def forward(self, image, record=None):
        return {t: y + 0.1 * torch.randn_like(y) for t, y in super().forward(image, record).items()}


class Counting(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, image, record=None):
        self.calls += 1
        return super().forward(image, record)


class Mixing(Net):
    def forward(self, image, record=None):
        return super().forward(image - image.mean(0), record)


class Wide(Net):
    def forward(self, image, record=None):
        return {t: torch.cat([y, y], -1) for t, y in super().forward(image, record).items()}


class Deaf(Net):
    def forward(self, image):
        return super().forward(image)


@pytest.mark.parametrize(
    ("net", "names", "message"),
    [
        (lambda: with_layer("norm", nn.BatchNorm1d(8)), NAMES, r"body\.norm \(BatchNorm1d\) keeps.*use LayerNorm"),
        (lambda: with_layer("drop", nn.Dropout(0.1)), NAMES, r"body\.drop \(Dropout\) drops by lot; give it p=0"),
        (lambda: with_layer("lazy", nn.LazyLinear(3)), NAMES, "body.lazy.weight has no size yet"),
        (Noisy, NAMES, r"Noisy.forward draws by lot \(\w+\)"),
        (Counting, NAMES, "changes its buffer calls"),
        (Mixing, NAMES, "mixes the rows"),
        (Wide, NAMES, r"returns a tensor \[2, 6\] for answer on a batch of 2; it must return .* \[batch, 3\]"),
        (Deaf, NAMES, "Deaf.forward takes image, but the data have image, record: add record"),
        (Net, {k: v for k, v in NAMES.items() if v != "trunk"}, "parameters: body.mix.weight is matched by no pattern"),
        (Net, NAMES | {"*.bias": "trunk"}, r"parameters: image.bias is matched by image.\* and \*.bias; map every"),
        (Net, NAMES | {"trunk.*": "trunk"}, r"trunk.\* matches no parameter; there are image.weight"),
        (Net, NAMES | {"body.*": "my trunk"}, "mapped to 'my trunk'; a name is such as"),
        (Net, NAMES | {"heads.mark.*": "trunk"}, "nothing is mapped to head.mark"),
    ],
)  # fmt: skip
def test_what_cannot_be_federated_is_refused_with_the_remedy(net, names, message):
    with pytest.raises(ValueError, match=message):
        TorchModel(net(), SHAPES, TASKS, names)
