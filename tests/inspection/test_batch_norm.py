"""Nets of which only scale and shift are trained, and how BatchNorm's modes differ."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, NoisyFineTuneProbe, WideDeepClassifier
from sklearn_memgen.inspection._batch_statistics import accuracy_by_batch
from sklearn_memgen.inspection._fitted_subject import read_fitted
from sklearn_memgen.inspection._parts import PartNets, draw_others, output_names
from sklearn_memgen.inspection._subject import accuracy_of, read_subject
from sklearn_memgen.inspection.batch_norm import BatchNormStudy, batch_norm_study
from sklearn_memgen.inspection.batch_norm_display import BatchNormStudyDisplay
from sklearn_memgen.training import ArrayTensors, ResidentNet

X, Y = make_classification(
    300, 6, n_informative=4, n_redundant=0, n_classes=3, class_sep=1.5, random_state=0
)
X = X.astype(np.float32)
NAMES = ["all", "batch_norm", "random", "output", "none"]


def make_module(norm=None, n_units=16, n_features=6, n_classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(n_features, n_units),
            nn.BatchNorm1d(n_units) if norm is None else norm,
            nn.ReLU(),
            nn.Linear(n_units, n_classes),
        )


class Net(nn.Sequential):
    """A deep net, drawn under the seed of its fit."""

    def __init__(self, n_features, n_classes, n_units=64, depth=5):
        layers = []
        for k in range(depth):
            layers += [
                nn.Linear(n_features if k == 0 else n_units, n_units),
                nn.BatchNorm1d(n_units),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.Linear(n_units, n_classes))


def make_model(module=None, **params):
    module = make_module() if module is None else module
    return NetClassifier(module, **{"max_epochs": 3, "batch_size": 32} | params)


@pytest.fixture(scope="module")
def study():
    return batch_norm_study(make_model(), X, Y, n_random=2, n_repeats=2, random_state=0)


# What is trained


def test_counts_of_parameters_are_exact(study):
    """112 + 32 + 51 parameters of layers, normalization and output."""
    frame = study.to_frame()
    once = ["all", "batch_norm", "random", "random", "output", "none"]
    assert frame["trained"].tolist() == once * 2
    assert frame["n_trained"].tolist() == [195, 32, 32, 32, 51, 0] * 2
    np.testing.assert_allclose(frame["share"], frame["n_trained"] / 195)
    assert frame["repeat"].tolist() == [0] * 6 + [1] * 6
    assert frame["draw"].tolist() == [0, 0, 0, 1, 0, 0] * 2
    assert frame[["train_accuracy", "test_accuracy"]].stack().between(0, 1).all()
    assert study.means().index.tolist() == NAMES
    assert (study.n_rows, study.n_test_rows) == (240, 60)


def test_accuracy_is_that_of_the_net_trained_alone():
    """The same net, fitted by an estimator that says `trainable` itself."""
    settings = {"early_stopping": False, "random_state": 3, "max_epochs": 4}
    frame = batch_norm_study(
        make_model(**settings),
        X[:200],
        Y[:200],
        X_test=X[200:],
        y_test=Y[200:],
        n_random=0,
        random_state=0,
    ).to_frame()
    frame = frame.set_index("trained")
    seeds = np.random.RandomState(0).randint(2**31, size=1)

    class Seeded(NetClassifier):
        """Takes the seed of the study for that of its net."""

        def _train(self, *args, **kwargs):
            self._rng = type("Fixed", (), {"randint": lambda *_: int(seeds[0])})()
            return super()._train(*args, **kwargs)

    for kind, trainable in [
        ("all", "all"),
        ("batch_norm", "batch_norm"),
        ("output", ["3.*"]),
    ]:
        model = Seeded(
            make_module(), batch_size=32, trainable=trainable, **settings
        ).fit(X[:200], Y[:200])
        assert model.score(X[200:], Y[200:]) == frame["test_accuracy"][kind]
        assert model.score(X[:200], Y[:200]) == frame["train_accuracy"][kind]


def test_normalizations_alone_beat_as_many_others_on_digits():
    """The finding of the paper, on a small deep net."""
    digits, labels = load_digits(return_X_y=True)
    model = make_model(Net, max_epochs=8, learning_rate=0.03)
    means = batch_norm_study(
        model, digits / 16, labels, n_random=1, batch_sizes=(), random_state=0
    ).means()["test_accuracy"]
    assert means["all"] > 0.95
    assert means["batch_norm"] > 0.75
    assert means["random"] < means["batch_norm"] - 0.05
    assert means["output"] < means["batch_norm"]
    assert means["none"] < 0.3


def test_others_are_drawn_from_each_tensor_in_proportion():
    shapes = {"a": torch.Size([10, 6]), "b": torch.Size([30, 1]), "c": torch.Size([10])}
    names = ["norm", *shapes]

    def count(n_wanted, **options):
        guide = draw_others(shapes, n_wanted, names, seed=0, **options)
        assert guide["norm"] == 0 and guide["a"].shape == (10, 6)
        return [int(guide[name].sum()) for name in shapes]

    # 12.6, 6.3 and 2.1: what is left goes to the largest remainder
    assert count(21, by_units=False) == [13, 6, 2]
    assert count(25) == [5, 15, 5]
    assert count(60) == [20, 30, 10]  # of 12, 36 and 12
    assert count(99) == [59, 30, 10]
    assert count(100) == [60, 30, 10]
    guides = [draw_others(shapes, 21, names, seed=seed) for seed in (0, 0, 1)]
    assert guides[0] == guides[1] != guides[2]


def test_the_output_layer_is_that_computed_last_not_named_last():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)
            self.dropout = nn.Dropout(0.5)
            self.body = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))

        def forward(self, x):
            return self.head(self.dropout(self.body(x)))

    net = ResidentNet(Odd, verbose=0).initialize()
    net.module_.body.eval()
    rows = ArrayTensors({"": torch.from_numpy(X)})
    assert output_names(net, rows) == ["head.weight", "head.bias"]
    assert net.module_.dropout.training and not net.module_.body.training
    assert not any(m._forward_hooks for m in net.module_.modules())


@pytest.mark.parametrize(
    ("scale_init", "low", "high"), [("uniform", 0.0, 1.0), ("ones", 1.0, 1.0)]
)
def test_scales_begin_as_they_are_told(monkeypatch, scale_init, low, high):
    """Untrained nets are looked at: what they are scored with."""
    from sklearn_memgen.inspection import _parts

    seen = []

    def look(net, data):
        seen.append(copy.deepcopy(net.module_[1]))
        return accuracy_of(net, data)

    monkeypatch.setattr(_parts, "accuracy_of", look)
    module = make_module()
    nn.init.constant_(module[1].weight, 7.0)
    nn.init.constant_(module[1].bias, 7.0)
    options = {"n_random": 0, "max_epochs": 1, "random_state": 0}
    batch_norm_study(make_model(module), X, Y, scale_init=scale_init, **options)
    scale = seen[-1].weight
    assert (scale >= low).all() and (scale <= high).all()
    assert (len(scale.unique()) > 1) == (scale_init == "uniform")
    assert (seen[-1].bias == 0).all()
    batch_norm_study(make_model(module), X, Y, **options)
    assert (seen[-1].weight == 7).all() and (seen[-1].bias == 7).all()


def test_what_an_estimator_says_of_trainable_is_replaced():
    options = {"n_random": 1, "random_state": 0}
    one = batch_norm_study(make_model(trainable="batch_norm"), X, Y, **options)
    other = batch_norm_study(make_model(), X, Y, **options)
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())


def test_a_single_last_row_is_not_learned():
    """65 rows, 32 a step: BatchNorm cannot normalize the last one."""
    study = batch_norm_study(
        make_model(),
        X[:65],
        Y[:65],
        X_test=X[65:],
        y_test=Y[65:],
        n_random=0,
        training_batch_sizes=(2, 16),
        random_state=0,
    )
    assert study.to_frame()["n_trained"].tolist() == [195, 32, 51, 0]


# Modes


def test_modes_are_those_of_a_plain_loop(study):
    """Accuracy by batches against modules in train mode, one by one."""
    model = make_model(random_state=0).fit(X, Y)
    fitted = read_fitted(model, X, Y)
    before = copy.deepcopy(fitted.net.module_.state_dict())
    order = torch.from_numpy(np.random.RandomState(0).permutation(300))
    found = accuracy_by_batch(fitted.net, fitted.data, 7, [order])
    twin, n_right = copy.deepcopy(fitted.net.module_).train(), 0
    for rows in order.tensor_split(300 // 7):
        logits = twin(torch.from_numpy(X)[rows])
        n_right += (logits.argmax(1) == torch.from_numpy(Y)[rows]).sum().item()
    assert found == n_right / 300
    after = fitted.net.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    norm = fitted.net.module_[1]
    assert norm.track_running_stats and not norm.training
    assert accuracy_of(fitted.net, fitted.data) == model.score(X, Y)


def test_dropout_stays_off_by_batches():
    module = make_module(nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.9)))
    fitted = read_fitted(make_model(module, random_state=0).fit(X, Y), X, Y)
    order = [torch.arange(300)]
    results = {accuracy_by_batch(fitted.net, fitted.data, 300, order) for _ in range(4)}
    assert len(results) == 1


def test_modes_have_a_row_for_each_way():
    study = batch_norm_study(
        make_model(),
        X,
        Y,
        n_random=0,
        batch_sizes=(2, 8, 1000),
        training_batch_sizes=[4],
        random_state=0,
    )
    modes = study.modes
    assert modes["training_batch_size"].tolist() == [32] * 3 + [4] * 3
    assert modes["statistics"].tolist() == ["running", "batch", "batch"] * 2
    assert modes["batch_size"].dropna().tolist() == [2, 8] * 2  # of 60 test rows
    whole = study.to_frame().set_index("trained")["test_accuracy"]["all"]
    assert modes["test_accuracy"][0] == whole


@pytest.mark.parametrize("norm", [nn.LayerNorm(16), nn.GroupNorm(4, 16)])
def test_without_statistics_modes_are_empty(norm):
    study = batch_norm_study(
        make_model(make_module(norm)), X, Y, n_random=1, random_state=0
    )
    assert study.to_frame()["trained"].tolist() == NAMES
    assert study.modes.empty
    with pytest.raises(ValueError, match="no running statistics"):
        BatchNormStudyDisplay(study).plot_modes()


# The house's rules


def test_repeatable_and_nothing_else_changes():
    model = make_model(random_state=None).fit(X, Y)
    before = copy.deepcopy(model.net_.module_.state_dict())
    state, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    frames = [
        batch_norm_study(model, X, Y, n_random=1, random_state=s).to_frame()
        for s in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert not frames[0].equals(frames[2])
    assert torch.equal(state, torch.random.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()
    after = model.net_.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_pipelines_probes_and_labels():
    labels = np.array(["a", "b", "c"])[Y]
    options = {"n_random": 1, "max_epochs": 2, "random_state": 0}
    probe = batch_norm_study(NoisyFineTuneProbe(make_model(Net)), X, labels, **options)
    plain = batch_norm_study(make_model(Net), X, Y, **options)
    pd.testing.assert_frame_equal(probe.to_frame(), plain.to_frame())
    pipe = make_pipeline(StandardScaler(), make_model(Net))
    assert isinstance(batch_norm_study(pipe, X, labels, **options), BatchNormStudy)


def test_nets_can_be_sent_to_other_processes():
    subject = read_subject(make_model(Net), X, Y, test_fraction=0.2, random_state=0)
    nets = PartNets(subject, "hidden", "uniform", 2)
    members = [nets.member(net) for net in nets.plan(0, 1, 1) if net.learns]
    sent = pickle.loads(pickle.dumps(members))
    for here, there in zip(subject.train(members), subject.train(sent), strict=True):
        ours, theirs = here.net.module_.state_dict(), there.net.module_.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_convolutions_and_arrays_of_any_rank():
    digits, labels = load_digits(return_X_y=True)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 10),
    )  # fmt: skip
    study = batch_norm_study(
        make_model(module, max_epochs=1),
        digits[:300].reshape(-1, 1, 8, 8).astype(np.float32),
        labels[:300],
        n_random=1,
        random_state=0,
    )
    assert study.means()["n_trained"].tolist() == [1498, 8, 8, 1450, 0]


# Pictures


def test_pictures_name_what_is_trained(study):
    plt = pytest.importorskip("matplotlib.pyplot")
    display = study.plot()
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[1] == "scale and shift only\n32 parameters"
    widths = [bar.get_width() for bar in display.ax_.patches]
    np.testing.assert_allclose(widths, study.means()["test_accuracy"])
    _, ax = plt.subplots()
    assert display.plot_modes(ax) is display and display.ax_ is ax
    assert ax.get_legend().get_texts()[0].get_text() == "trained at 32 rows a step"
    plt.close("all")


# Bad input


def test_nets_that_cannot_be_studied():
    with pytest.raises(ValueError, match="Sequential, has no normalization; it needs"):
        batch_norm_study(make_model(make_module(nn.Identity())), X, Y)
    norm = nn.BatchNorm1d(16, affine=False)
    with pytest.raises(ValueError, match="no scale and shift; make them with affine"):
        batch_norm_study(make_model(make_module(norm)), X, Y)
    with pytest.raises(ValueError, match="WideDeep, has no normalization"):
        batch_norm_study(WideDeepClassifier(), *load_iris(return_X_y=True))
    with pytest.raises(TypeError, match="must be a classifier with a net"):
        batch_norm_study(StandardScaler(), X, Y)


def test_more_scales_than_other_parameters():
    module = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1))
    binary = (Y > 0).astype(int)
    for where, n_others in [("hidden", 0), ("all", 7)]:
        match = f"has 12 parameters in.*, but random_from='{where}' has only {n_others}"
        with pytest.raises(ValueError, match=match):
            batch_norm_study(make_model(module), X, binary, random_from=where)
    study = batch_norm_study(make_model(module), X, binary, n_random=0, random_state=0)
    assert study.to_frame()["n_trained"].tolist() == [19, 12, 7, 0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_random": -1}, "'n_random' parameter .*Got -1"),
        ({"n_repeats": 0}, "'n_repeats' parameter .*Got 0"),
        ({"random_from": "output"}, "'random_from' parameter .*Got 'output'"),
        ({"scale_init": "zeros"}, "'scale_init' parameter .*Got 'zeros'"),
        ({"batch_sizes": (1, 8)}, "batch_sizes must be integers of at least 2.*got 1"),
        ({"training_batch_sizes": [2.5]}, "training_batch_sizes must be.*got 2.5"),
        ({"test_fraction": 1.0}, "'test_fraction' parameter .*Got 1.0"),
        ({"max_epochs": 0}, "'max_epochs' parameter .*Got 0"),
        ({"X_test": X}, "X_test and y_test must be given together"),
        ({"strategy": "fast"}, "'strategy' parameter .*Got 'fast'"),
    ],
)
def test_values_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        batch_norm_study(make_model(), X, Y, **params)
