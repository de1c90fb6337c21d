"""`trainable`: what may change in training, and nothing else, in every estimator."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import (
    GuidedTransferClassifier,
    LotteryPrunedNet,
    NetClassifier,
    NoisyFineTuneProbe,
    PopulationSearchCV,
    SourceNet,
    WideDeepClassifier,
    WideDeepRegressor,
)
from sklearn_memgen._trainable import NORMALIZATIONS, normalization_names
from sklearn_memgen.training import Guide, GuideCallback

X, Y = make_classification(
    240, 6, n_informative=4, n_redundant=0, n_classes=3, random_state=0
)
X = X.astype(np.float32)


def make_module(norm=None, n_units=8):
    norm = nn.BatchNorm1d(n_units) if norm is None else norm
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, n_units), norm, nn.ReLU(), nn.Linear(n_units, 3)
        )


def make_model(module=None, **params):
    module = make_module() if module is None else module
    return NetClassifier(module, **{"max_epochs": 5, "random_state": 0} | params)


def changed(before, after):
    """Return the names of parameters that are not the same to the bit."""
    after = dict(after.named_parameters())
    return [n for n, p in before.named_parameters() if not torch.equal(p, after[n])]


class Start(Callback):
    """Keeps what a net was before training."""

    def on_train_begin(self, net, **kwargs):
        self.module = deepcopy(net.module_)


# What changes


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_only_scale_and_shift_change_under_batch_norm(optimizer, ema_decay):
    """The output layer stays as it is, too; so it does in an average of weights."""
    module = make_module()
    model = make_model(
        module, trainable="batch_norm", optimizer=optimizer, ema_decay=ema_decay
    ).fit(X, Y)
    assert changed(module, model.net_.module_) == ["1.weight", "1.bias"]
    assert model.net_.module_[1].num_batches_tracked > 0


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm(8),
        nn.GroupNorm(2, 8),
        nn.RMSNorm(8),
        nn.Sequential(nn.Unflatten(1, (4, 2)), nn.BatchNorm1d(4), nn.Flatten()),
        nn.Sequential(
            nn.Unflatten(1, (4, 2)), nn.InstanceNorm1d(4, affine=True), nn.Flatten()
        ),
    ],
    ids=lambda norm: (
        type(norm[1] if isinstance(norm, nn.Sequential) else norm).__name__
    ),
)
def test_all_kinds_of_normalization_count(norm):
    module = make_module(norm)
    model = make_model(module, trainable="batch_norm").fit(X, Y)
    names = changed(module, model.net_.module_)
    assert names and all(name.startswith("1.") for name in names)
    assert names == normalization_names(module)


def test_every_normalization_of_torch_with_a_scale_is_known():
    """A new kind in torch has to be thought of."""
    kinds = {
        kind
        for kind in vars(nn).values()
        if isinstance(kind, type)
        and issubclass(kind, nn.Module)
        and kind.__name__.endswith("Norm")
        | kind.__name__.removesuffix("d")[:-1].endswith("Norm")
        and not kind.__name__.startswith("Lazy")  # these turn into the others
    }
    unscaled = {nn.LocalResponseNorm, nn.CrossMapLRN2d}
    assert kinds - unscaled == set(NORMALIZATIONS)


@pytest.mark.parametrize(
    "trainable",
    [["3.*"], ("3.weight", "3.bias"), Guide({"0.weight": 0, "0.bias": 0})],
    ids=["pattern", "names", "guide"],
)
def test_patterns_names_and_guides_say_what_changes(trainable):
    module = make_module(nn.Identity())
    model = make_model(module, trainable=trainable).fit(X, Y)
    assert changed(module, model.net_.module_) == ["3.weight", "3.bias"]


def test_a_callable_makes_the_guide_of_the_module():
    def half(module):
        return Guide.only(module, types=nn.Linear) * 0.5

    module = make_module()
    model = make_model(module, trainable=half).fit(X, Y)
    names = changed(module, model.net_.module_)
    assert names == ["0.weight", "0.bias", "3.weight", "3.bias"]


def test_a_users_own_guide_multiplies_it():
    """A tenth of a tenth of one plain SGD step."""
    plain = {
        "optimizer": torch.optim.SGD,
        "learning_rate": 0.1,
        "max_epochs": 1,
        "batch_size": 240,
        "early_stopping": False,
        "schedule": "constant",
        "weight_decay": 0.0,
    }
    module = make_module()
    whole = make_model(module, **plain).fit(X, Y).net_.module_
    names = ["0.weight", "3.weight"]
    tenth = Guide(dict.fromkeys(names, 0.1))
    part = make_model(
        module, **plain, trainable=tenth, callbacks=[GuideCallback(tenth)]
    )
    part = part.fit(X, Y).net_.module_
    for before, far, near in zip(
        (module[0], module[3]), (whole[0], whole[3]), (part[0], part[3]), strict=True
    ):
        step, guided = far.weight - before.weight, near.weight - before.weight
        torch.testing.assert_close(guided, step * 0.01, atol=1e-7, rtol=1e-3)
    torch.testing.assert_close(part[0].bias, whole[0].bias)
    frozen = make_model(
        module, trainable="batch_norm", callbacks=[GuideCallback(Guide({"1.bias": 0}))]
    ).fit(X, Y)
    assert changed(module, frozen.net_.module_) == ["1.weight"]


def test_all_is_no_guide_at_all():
    plain, named = make_model().fit(X, Y), make_model(trainable="all").fit(X, Y)
    assert np.array_equal(plain.predict_proba(X), named.predict_proba(X))
    assert not plain._make_callbacks()


# Going on, copies and searches


def test_going_on_in_chunks_and_warm_starts_changes_nothing_else():
    module = make_module()
    model = make_model(module, trainable="batch_norm", warm_start=True)
    for _ in range(2):
        model.partial_fit(X, Y, classes=[0, 1, 2])
        model.fit(X, Y)
    assert changed(module, model.net_.module_) == ["1.weight", "1.bias"]
    middle = deepcopy(model.net_.module_)
    model.set_params(trainable=["3.*"]).fit(X, Y)
    assert changed(middle, model.net_.module_) == ["3.weight", "3.bias"]


def test_the_handle_is_taken_off_after_training():
    model = make_model(trainable="batch_norm", max_epochs=1).fit(X, Y)
    assert not model.net_.optimizer_._optimizer_step_pre_hooks


def test_clones_and_pickles():
    model = make_model(trainable="batch_norm").fit(X, Y)
    twin = pickle.loads(pickle.dumps(model))
    assert np.array_equal(twin.predict_proba(X), model.predict_proba(X))
    again = clone(model).fit(X, Y)
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_search_trains_candidates_together_as_alone():
    grid = {"trainable": ["all", "batch_norm", ["3.*"]]}
    model = make_model(make_module(nn.LayerNorm(8)), max_epochs=3)
    together = PopulationSearchCV(model, grid, cv=2).fit(X, Y)
    alone = GridSearchCV(model, grid, cv=2).fit(X, Y)
    np.testing.assert_allclose(
        together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_a_probe_of_noise_trains_only_what_may_change():
    module = make_module()
    probe = NoisyFineTuneProbe(
        make_model(module, trainable="batch_norm"),
        noise_levels=(0.0, 0.3),
        max_epochs=2,
        random_state=0,
    ).fit(X, Y)
    for model in probe.estimators_:
        assert changed(module, model.net_.module_) == ["1.weight", "1.bias"]


def test_tickets_of_a_frozen_layer_keep_their_first_weights():
    module = make_module()
    model = LotteryPrunedNet(
        make_model(module, trainable=["0.*"]),
        remaining=0.5,
        max_epochs=2,
        n_trials=1,
        random_state=0,
    ).fit(X, Y)
    fitted = model.estimator_.net_.module_[3].weight
    kept = fitted != 0
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(fitted[kept], module[3].weight[kept])


# Other estimators


@pytest.mark.parametrize("target", ["classes", "number"])
def test_tables_keep_what_is_not_named(target):
    if target == "classes":
        make, y = WideDeepClassifier, Y
    else:
        make, y = WideDeepRegressor, make_regression(240, 6, random_state=0)[1]
    start = Start()
    model = make(max_epochs=3, ema_decay=0.9, callbacks=[start], random_state=0)
    model.set_params(trainable=["deep.*"]).fit(X, y)
    names = changed(start.module, model.net_.module_)
    assert names and all(name.startswith("deep.") for name in names)
    model.set_params(trainable=["wide*"]).fit(X, y)
    names = changed(start.module, model.net_.module_)
    assert names and not any(name.startswith("deep.") for name in names)


def test_a_guide_of_scouts_and_what_is_trainable_multiply():
    source = SourceNet(
        objective="supervised",
        hidden_layer_sizes=(8,),
        n_scouts=2,
        max_epochs=1,
        scout_epochs=1,
        classes_per_scout=2,
        random_state=0,
    ).fit(X, Y)
    model = GuidedTransferClassifier(source, max_epochs=2, head="new", random_state=0)
    free = clone(model).fit(X, Y).net_.module_
    held = model.set_params(trainable=["head.*"]).fit(X, Y).net_.module_
    start = source.make_net(3)
    assert any(name.startswith("body.") for name in changed(start, free))
    names = changed(start, held)
    assert names and all(name.startswith("head.") for name in names)


# Bad input


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (
            nn.Identity(),
            "trainable='batch_norm'.*Sequential, has no normalization.*Bat",
        ),
        (
            nn.BatchNorm1d(8, affine=False),
            r"\(BatchNorm1d\) have no scale.*affine=True",
        ),
        (nn.LayerNorm(8, elementwise_affine=False), r"\(LayerNorm\).*elementwise_aff"),
    ],
)
def test_nets_without_scale_and_shift(norm, message):
    with pytest.raises(ValueError, match=message):
        make_model(make_module(norm), trainable="batch_norm").fit(X, Y)


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        ("batchnorm", "'trainable' parameter .* must be .*'batchnorm'"),
        (None, "'trainable' parameter .* must be .*None"),
        (["heads.*"], r"trainable=\['heads.\*'\]: 'heads.\*' fits no parameter"),
        ([], r"one pattern or more, such as \['head.\*'\]; got \[\]"),
        ([1], r"one pattern or more.*got \[1\]"),
        (Guide({"9.weight": 0}), "9.weight"),
    ],
)
def test_what_is_not_there_is_named(trainable, message):
    with pytest.raises(ValueError, match=message):
        make_model(trainable=trainable).fit(X, Y)


def test_what_a_callable_must_make():
    with pytest.raises(TypeError, match="must be, or make, a Guide; .* made 3"):
        make_model(trainable=lambda module: 3).fit(X, Y)
