"""Guides in the training of estimators: two optimizers, averages, pickles, errors."""

import copy
import itertools
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.datasets import make_memgen_classification
from sklearn_memgen.nets import WideDeep
from sklearn_memgen.training import (
    FTRL,
    ArrayTensors,
    Guide,
    GuideCallback,
    ResidentDataset,
    ResidentNet,
)
from sklearn_memgen.training.observers import wants_batches

X, Y = make_classification(300, 6, random_state=0)
X = X.astype(np.float32)


def make_module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))


def make_classifier(*callbacks, **params):
    defaults = {"learning_rate": 0.02, "max_epochs": 3, "random_state": 0}
    return NetClassifier(
        make_module(), callbacks=list(callbacks) or None, **defaults | params
    )


def weights_of(model):
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in model.net_.module_.named_parameters()
    }


HEAD = GuideCallback(partial(Guide.only, names="3.*"))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_only_the_head_is_trained(optimizer, ema_decay):
    """All else is as it was to the bit; an average of the same weights is the same."""
    model = make_classifier(
        HEAD, optimizer=optimizer, ema_decay=ema_decay, clip_norm=1.0, weight_decay=0.1
    )
    start = dict(model.module.named_parameters())
    for name, weight in weights_of(model.fit(X, Y)).items():
        assert torch.equal(weight, start[name]) is not name.startswith("3."), name


@pytest.mark.parametrize("apply_to", ["update", "gradient"])
def test_a_guide_of_ones_changes_nothing(apply_to):
    ones = Guide(dict.fromkeys(dict(make_module().named_parameters()), 1.0))
    guided = make_classifier(GuideCallback(ones, apply_to=apply_to)).fit(X, Y)
    plain = make_classifier().fit(X, Y)
    for name, weight in weights_of(plain).items():
        assert torch.equal(weights_of(guided)[name], weight)


def test_one_step_of_a_classifier_goes_as_far_as_the_guide_says():
    tenth = GuideCallback(Guide(dict.fromkeys(["0.weight", "3.bias"], 0.1)))
    params = {"max_epochs": 1, "batch_size": 300, "weight_decay": 0.5}
    params["early_stopping"] = False
    start = dict(make_module().named_parameters())
    whole, guided = (
        weights_of(make_classifier(*callbacks, **params).fit(X, Y))
        for callbacks in ((), (tenth,))
    )
    for name, share in {"0.weight": 0.1, "3.bias": 0.1, "0.bias": 1.0}.items():
        moved = whole[name] - start[name]
        assert moved.any()
        torch.testing.assert_close(
            guided[name] - start[name], share * moved, rtol=1e-3, atol=1e-7
        )


def test_the_training_loop_remains_quick():
    model = make_classifier(HEAD).fit(X, Y)
    assert not wants_batches(model.net_.callbacks_)


class Watcher(Callback):
    """Looks at batches, so that the loop goes skorch's way."""

    def on_batch_end(self, net, **kwargs):
        pass


def test_the_loop_of_skorch_gives_the_same():
    tenth = GuideCallback(Guide({"0.weight": 0.1, "3.weight": 0.0}))
    quick = weights_of(make_classifier(tenth).fit(X, Y))
    slow = weights_of(make_classifier(tenth, Watcher()).fit(X, Y))
    assert all(torch.equal(quick[name], slow[name]) for name in quick)


def test_an_estimator_under_a_guide_is_cloned_pickled_and_searched():
    model = make_classifier(HEAD)
    copied = clone(model)
    (callback,) = copied.callbacks
    assert callback is not HEAD and callback.guide.keywords == {"names": "3.*"}
    model.fit(X, Y)
    loaded = pickle.loads(pickle.dumps(model))
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert np.isfinite(cross_val_score(model, X, Y, cv=2, n_jobs=2)).all()


def test_a_callback_can_be_copied_in_the_midst_of_training():
    copies = []

    class Copier(Callback):
        def on_epoch_end(self, net, **kwargs):
            copies.append(pickle.loads(pickle.dumps(callback)))
            copies.append(copy.deepcopy(callback))

    callback = GuideCallback(Guide({"0.weight": 0.0}))
    make_classifier(callback, Copier()).fit(X, Y)
    assert all(c.guide == callback.guide_ == c.guide_ for c in copies)


def test_a_warm_start_goes_on_under_the_guide_of_the_day():
    """The guide is taken off in the end, and another one put on."""
    model = make_classifier(HEAD, warm_start=True).fit(X, Y)
    first = weights_of(model)
    model.set_params(callbacks=[GuideCallback(Guide({"3.weight": 0.0}))]).fit(X, Y)
    second = weights_of(model)
    for name, weight in second.items():
        assert torch.equal(weight, first[name]) is (name == "3.weight"), name
    model.set_params(callbacks=None).fit(X, Y)
    assert not any(torch.equal(w, second[n]) for n, w in weights_of(model).items())


class Failing(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("no")


def test_after_an_error_the_guide_is_off():
    """A warm start after it, without a guide, must not obey the old one."""
    model = make_classifier(warm_start=True).fit(X, Y)
    with pytest.raises(RuntimeError, match="no"):
        model.set_params(callbacks=[HEAD, Failing()]).fit(X, Y)
    assert not model.net_.optimizer_._optimizer_step_pre_hooks


def test_after_an_error_a_net_is_not_guided_twice():
    """Without an estimator, the next training takes the old guide off."""
    data = ResidentDataset(ArrayTensors({"": torch.from_numpy(X)}), torch.from_numpy(Y))
    net = ResidentNet(
        make_module(), max_epochs=1, verbose=0, callbacks=[HEAD, Failing()]
    )
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            net.partial_fit(data)
    assert len(net.optimizer_._optimizer_step_pre_hooks) == 1


def test_a_name_that_is_unknown_is_told_before_training():
    with pytest.raises(ValueError, match="the guide names 'head'; the parameters are"):
        make_classifier(GuideCallback(Guide({"head": 0.0}))).fit(X, Y)


@pytest.mark.parametrize("guide", [{"3.weight": 0.0}, lambda module: {}])
def test_what_is_no_guide_is_refused(guide):
    with pytest.raises(TypeError, match="must be a Guide or a GuidePath, or a"):
        make_classifier(GuideCallback(guide)).fit(X, Y)


# The wide and the deep part


def train_wide_deep(guide, *, n_ids, apply_to="update", l1=0.001, **params):
    """Train a WideDeep of all kinds of optimizers, from weights that are not zero."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(n_ids, (400, 1), generator=generator)
    numbers = torch.randn(400, 1, generator=generator)
    y = ((ids[:, 0] % 2).float() + numbers[:, 0] > 0.5).long()
    torch.manual_seed(0)
    module = WideDeep(
        1,
        bin_edges=[[-1.0, 0.0, 1.0]],
        missing=[False],
        id_offsets=[0, n_ids],
        n_deep_id_columns=1,
        embedding_dim=4,
        hidden_layer_sizes=(8,),
    )
    with torch.no_grad():
        module.wide.ids.weight.normal_(std=0.1)
    start = {name: p.detach().clone() for name, p in module.named_parameters()}
    net = ResidentNet(
        module,
        lr=0.01,
        max_epochs=4,
        batch_size=32,
        verbose=0,
        callbacks=[GuideCallback(guide, apply_to=apply_to)],
        optimizer=partial(torch.optim.AdamW, fused=True),
        optimizer__weight_decay=0.1,
        group_optimizers={
            "sparse": partial(torch.optim.SparseAdam, lr=0.01),
            "wide": partial(FTRL, lr=0.1, l1=l1),
        },
        **params,
    )
    torch.manual_seed(1)
    net.fit(ResidentDataset(ArrayTensors({"numbers": numbers, "ids": ids}), y))
    end = {name: p.detach() for name, p in net.module_.named_parameters()}
    return net, start, end


def freeze(module, pattern):
    chosen = Guide.only(module, pattern)
    return Guide({name: 1 - multiplier for name, multiplier in chosen.items()})


SIZES = [40, 2**17]  # ids of which the tables have dense and sparse gradients


@pytest.mark.parametrize("n_ids", SIZES)
@pytest.mark.parametrize("apply_to", ["update", "gradient"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("frozen", ["wide.*", "deep.*", "*"])
def test_a_part_that_is_frozen_stays_to_the_bit(frozen, ema_decay, apply_to, n_ids):
    net, start, end = train_wide_deep(
        partial(freeze, pattern=frozen),
        n_ids=n_ids,
        apply_to=apply_to,
        ema_decay=ema_decay,
        clip_norm=1.0,
    )
    assert net.module_.wide.ids.sparse is (n_ids > 1000)
    for name, weight in end.items():
        if weight.numel():
            is_frozen = frozen == "*" or name.startswith(frozen[:4])
            assert torch.equal(weight, start[name]) is is_frozen, name


@pytest.mark.parametrize("n_ids", SIZES)
def test_rows_that_are_frozen_stay_and_others_learn(n_ids):
    """As for the values of a table that must not be learned anew."""
    may = torch.ones(n_ids, 1)
    may[::2] = 0
    names = ["wide.ids.weight", "deep.embedding.weight"]
    _, start, end = train_wide_deep(Guide(dict.fromkeys(names, may)), n_ids=n_ids)
    for name in names:
        assert torch.equal(end[name][::2], start[name][::2]), name
        assert (end[name][1::2] != start[name][1::2]).any(), name


@pytest.mark.parametrize("n_ids", SIZES)
def test_wide_weights_move_a_tenth_as_far_over_many_steps(n_ids):
    """All else is frozen, so that the gradients are nearly the same."""
    wide = "wide.ids.weight"

    def guide(module, share):
        return Guide.only(module, wide) * Guide({wide: share})

    moved = []
    for share in (1.0, 0.1):
        _, start, end = train_wide_deep(partial(guide, share=share), n_ids=n_ids, l1=0)
        moved.append(end[wide] - start[wide])
    assert moved[0].abs().max() > 0.005
    torch.testing.assert_close(moved[1], 0.1 * moved[0], rtol=0.05, atol=5e-5)


@pytest.mark.parametrize(
    "params", [{}, {"wide_l1": 0.5}, {"wide_optimizer": "adagrad"}]
)
def test_a_wide_deep_classifier_learns_under_a_guide(params):
    """Frozen in a warm start, the wide part keeps what it memorized."""
    X, y = make_memgen_classification(n_samples=600, random_state=0)
    model = WideDeepClassifier(
        max_epochs=3, warm_start=True, early_stopping=False, random_state=0, **params
    ).fit(X, y)
    before = weights_of(model)
    freeze_wide = GuideCallback(partial(freeze, pattern="wide.*"))
    model.set_params(callbacks=[freeze_wide]).fit(X, y)
    for name, weight in weights_of(model).items():
        if weight.numel():
            frozen = name.startswith("wide.")
            assert torch.equal(weight, before[name]) is frozen, name
    model = clone(model).set_params(callbacks=[freeze_wide], warm_start=False)
    wide = model.fit(X, y).net_.module_.wide
    assert not any(table.any() for table in wide.tables())


def test_partial_fit_obeys_the_guide():
    X, y = make_memgen_classification(n_samples=600, random_state=0)
    model = WideDeepClassifier(
        callbacks=[GuideCallback(partial(freeze, pattern="wide.*"))], random_state=0
    )
    model.partial_fit(X[:300], y[:300], classes=np.unique(y))
    model.partial_fit(X[300:], y[300:])
    assert not any(table.any() for table in model.net_.module_.wide.tables())


def test_an_interrupted_training_gives_the_guide_back():
    count = itertools.count()

    class Interrupting(nn.Sequential):
        def forward(self, x):
            if next(count) == 5:
                raise KeyboardInterrupt
            return super().forward(x)

    model = NetClassifier(
        Interrupting(*make_module()), callbacks=[HEAD], random_state=0
    )
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, Y)
    assert not model.net_.optimizer_._optimizer_step_pre_hooks


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_under_a_guide_and_its_pickle_loads_on_the_cpu():
    model = make_classifier(HEAD, device="cuda").fit(X, Y)
    start = dict(model.module.named_parameters())
    loaded = pickle.loads(pickle.dumps(model))
    assert all(m.device.type == "cpu" for m in loaded.callbacks[0].guide_.values())
    for name, weight in weights_of(loaded).items():
        assert torch.equal(weight, start[name]) is not name.startswith("3."), name
