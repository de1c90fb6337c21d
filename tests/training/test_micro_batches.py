"""Batches computed in parts: the steps of whole batches, in less memory."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen._lottery_course import LotteryCourse
from sklearn_memgen.training import (
    ArrayTensors,
    EpisodicBatches,
    LogisticLoss,
    Member,
    OwnLosses,
    Population,
    ResidentBatches,
    ResidentDataset,
    ResidentNet,
    Trace,
    train,
)


class DoubleLoss(LogisticLoss):
    """The cross-entropy, not rounded to float32."""

    def forward(self, logits, y):
        return nn.functional.cross_entropy(logits, y, reduction="none")


class Squares(nn.Module):
    """Computes the loss of each row itself."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, x):
        return (self.linear(x)[:, 0] - x.sum(1)).square()


class Tokens:
    """Rows of different length, each of whose numbers has a target of its own."""

    def __init__(self, rows):
        self.rows = rows
        self.lengths = torch.tensor([len(row) for row in rows])
        self.n_targets = self.lengths

    nbytes = 0

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            return Tokens(self.rows[rows])
        return Tokens([self.rows[k] for k in rows.tolist()])

    def to(self, device, *, non_blocking=False):
        return self

    def inputs(self):
        padded = nn.utils.rnn.pad_sequence(self.rows, batch_first=True)
        places = torch.arange(padded.shape[1]) < self.lengths[:, None]
        return {"padded": padded, "places": places}


class TokenNet(nn.Module):
    """Returns the logits of each number, but for those that fill up."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2, dtype=torch.float64)

    def forward(self, padded, places):
        return self.linear(padded[..., None])[places]


def make_data(n_rows=83, weighted=False):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n_rows, 4, generator=generator, dtype=torch.float64)
    weight = torch.rand(n_rows, generator=generator, dtype=torch.float64) * 3
    y = (X[:, 0] + 0.5 * X[:, 1] > 0).long()
    return ResidentDataset(ArrayTensors({"": X}), y, weight if weighted else None)


def make_tokens(n_rows=41):
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 9, (n_rows,), generator=generator).tolist()
    rows = [torch.randn(n, generator=generator, dtype=torch.float64) for n in sizes]
    y = (torch.cat(rows) > 0.3).long()
    weight = torch.rand(len(y), generator=generator, dtype=torch.float64)
    return ResidentDataset(Tokens(rows), y, weight)


def make_module():
    torch.manual_seed(1)
    layers = nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)
    return nn.Sequential(*layers).double()


def learn(data, micro_batch_size, module=None, callbacks=(), validation=None, **params):
    """Return the weights that a net learns, and its history."""
    defaults = {"lr": 0.05, "max_epochs": 3, "batch_size": 32, "verbose": 0}
    net = ResidentNet(
        make_module() if module is None else module,
        micro_batch_size=micro_batch_size,
        **{"criterion": DoubleLoss} | defaults | params,
    ).initialize()
    torch.manual_seed(5)
    history = train(net, data, validation, callbacks=callbacks)
    weights = [p.detach().flatten() for p in net.module_.parameters()]
    return torch.cat(weights), history


def assert_equal_but_for_rounding(whole, parts):
    torch.testing.assert_close(whole[0], parts[0], rtol=1e-9, atol=1e-11)
    for column in ("train_loss", "learning_rate"):
        np.testing.assert_allclose(whole[1][column], parts[1][column], rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 5, 16, 32, 1000])
def test_the_steps_are_those_of_whole_batches(size, weighted):
    """With weights, and with a last batch and last parts that are smaller."""
    data = make_data(weighted=weighted)
    settings = {"clip_norm": 0.1, "schedule": "cosine", "ema_decay": 0.9}
    whole, parts = (learn(data, n, **settings) for n in (None, size))
    assert_equal_but_for_rounding(whole, parts)


def test_a_loss_of_the_modules_own():
    results = []
    for size in (None, 7):
        torch.manual_seed(2)
        results.append(learn(make_data(), size, Squares(), criterion=OwnLosses))
    assert_equal_but_for_rounding(*results)


def test_rows_with_several_targets_count_by_their_targets():
    """Of parts with unlike numbers of targets, and of one without any."""
    results = []
    for size in (None, 1, 4):
        torch.manual_seed(2)
        results.append(learn(make_tokens(), size, TokenNet(), batch_size=16))
    for parts in results[1:]:
        assert_equal_but_for_rounding(results[0], parts)


@pytest.mark.parametrize("size", [5, 8])
@pytest.mark.parametrize("shuffle", [True, False])
def test_parts_say_what_they_are(size, shuffle):
    data = make_data(53)
    settings = {"batch_size": 20, "shuffle": shuffle}
    torch.manual_seed(0)
    whole = list(ResidentBatches(data, **settings))
    torch.manual_seed(0)
    parts = list(ResidentBatches(data, **settings, micro_batch_size=size))
    assert all((b.share, b.begins_step, b.ends_step) == (1, True, True) for b in whole)
    assert max(len(part[1]) for part in parts) == size
    for k in (0, 1):
        together = (torch.cat([b[k] for b in batches]) for batches in (whole, parts))
        assert torch.equal(*together)
    ends = np.cumsum([part.ends_step for part in parts])
    steps = ends - [part.ends_step for part in parts]
    shares = np.bincount(steps, weights=[part.share for part in parts])
    np.testing.assert_allclose(shares, np.ones(3))
    begins = [k for k, part in enumerate(parts) if part.begins_step]
    assert begins == [int(np.searchsorted(steps, step)) for step in range(3)]


class Hooks(Callback):
    """Has skorch's hooks, and counts how they are called."""

    def __init__(self):
        self.sizes, self.norms = [], []

    def on_batch_end(self, net, batch, training, **kwargs):
        self.sizes.append(len(batch[1]))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        grads = [p.grad.flatten() for _, p in named_parameters]
        self.norms.append(torch.cat(grads).norm().item())


def test_hooks_for_batches_see_parts_and_whole_gradients():
    data = make_data(weighted=True)
    whole, parts = Hooks(), Hooks()
    results = [
        learn(data, None, callbacks=[whole]),
        learn(data, 16, callbacks=[parts]),
        learn(data, 16),
    ]
    for others in results[1:]:
        assert_equal_but_for_rounding(results[0], others)
    assert whole.sizes == [32, 32, 19] * 3
    assert parts.sizes == [16, 16, 16, 16, 16, 3] * 3
    np.testing.assert_allclose(whole.norms, parts.norms, rtol=1e-9)


def test_a_trace_sees_the_same():
    frames = []
    for size in (None, 6):
        trace = Trace()
        learn(make_data(), size, callbacks=[trace])
        frames.append(trace.to_frame())
    whole, parts = frames
    assert (whole["n_seen"] == 3).all()
    for column in whole:
        np.testing.assert_allclose(
            whole[column].astype(float), parts[column].astype(float), rtol=1e-5
        )


def test_a_lottery_counts_steps_not_parts():
    courses = []
    for size in (None, 6):
        course = LotteryCourse(make_data(30), validate_every=2)
        learn(make_data(), size, callbacks=[course])
        courses.append(course)
    whole, parts = courses
    assert (whole.best_step_, whole.n_epochs_) == (parts.best_step_, parts.n_epochs_)
    assert 3 < whole.best_step_ <= 9
    assert whole.best_loss_ == pytest.approx(parts.best_loss_, rel=1e-5)


def test_validation_has_whole_batches():
    """No gradients take memory there."""
    hooks = Hooks()
    learn(make_data(40), 8, callbacks=[hooks], validation=make_data(32), max_epochs=1)
    assert hooks.sizes == [8, 8, 8, 8, 8, 32]


def test_estimators_take_it_by_net_params():
    data = make_data(400)
    X, y = data.X.arrays[""].float().numpy(), data.y.numpy()
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    fitted = [
        NetClassifier(
            module, net_params=params, batch_size=64, max_epochs=5, random_state=0
        ).fit(X, y)
        for params in (None, {"micro_batch_size": 10})
    ]
    assert fitted[1].net_.micro_batch_size == 10
    one, other = (model.predict_proba(X) for model in fitted)
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_a_size_that_is_no_number_of_rows(size):
    with pytest.raises(ValueError, match=f"micro_batch_size must be .* got {size!r}"):
        learn(make_data(), size)


def test_episodes_are_not_divided():
    with pytest.raises(ValueError, match="micro_batch_size=8 .* EpisodicBatches"):
        learn(make_data(), 8, iterator_train=EpisodicBatches)


def test_stacks_refuse_it():
    def make_net():
        return ResidentNet(make_module(), max_epochs=1, micro_batch_size=8, verbose=0)

    members = [Member(make_net, make_data(), seed=seed) for seed in range(2)]
    population = Population(members, strategy="stacked", device="cpu")
    with pytest.raises(ValueError, match="batches are computed in parts"):
        population.train()
