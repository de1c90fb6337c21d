"""What NoisyFineTuneProbe makes of bad and strange input."""

import gzip

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from sklearn_memgen import NetClassifier, NoisyFineTuneProbe, SourceNet
from sklearn_memgen.datasets import make_memgen_classification
from tests.probes import MLP, make_blobs, small_probe


def test_rows_of_weight_zero_are_left_out():
    X, y, _, _ = make_blobs(200)
    weight = np.ones(200)
    weight[:50] = 0
    y[:50] = "oak"
    probe = small_probe().fit(X, y, sample_weight=weight)
    examples = probe.examples_
    assert len(examples) == 200
    assert examples["label_quality"].isna().sum() == 50
    assert not probe.find_label_issues()[:50].any()
    assert (probe.noise_["n_rows"] <= 150).all()
    assert len(probe.suspects(200)) == 150


def test_a_class_of_one_row_and_fewer_rows_than_a_batch():
    X, y, _, _ = make_blobs(20, 0)
    y[:] = np.where(np.arange(20) % 2, "elm", "oak")
    y[7] = "ash"
    probe = small_probe().fit(X, y)
    assert probe.classes_.tolist() == ["ash", "elm", "oak"]
    assert probe.predict_proba(X).shape == (20, 3)
    assert len(probe.examples_) == 20


def test_two_rows_of_two_classes():
    probe = small_probe().fit([[0.0], [1.0]], [0, 1])
    assert probe.predict([[0.0], [1.0]]).shape == (2,)


def test_mixed_table_with_new_categories_at_predict(mixed_table):
    X, y = mixed_table
    probe = small_probe(max_epochs=6).fit(X, y)
    strange = X.assign(city="Atlantis")
    assert set(probe.predict(strange)) <= {"no", "yes"}
    assert np.isfinite(probe.predict_proba(strange)).all()


def test_dict_of_arrays():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, left, right):
            return self.linear(torch.cat([left, right], 1))

    X, y, _, _ = make_blobs(100, 0)
    parts = {"left": X[:, :2], "right": X[:, 2:]}
    probe = small_probe(estimator=NetClassifier(Sum), refit="clean").fit(parts, y)
    assert probe.predict(parts).shape == (100,)
    assert not hasattr(probe, "n_features_in_")


@pytest.mark.parametrize("levels", [(0.0, 1.0), (0.0, -0.1), (0.0, np.nan)])
def test_bad_noise_levels_are_refused(levels):
    X, y, _, _ = make_blobs(30)
    with pytest.raises(ValueError, match="from 0 on and below 1; got"):
        small_probe(noise_levels=levels).fit(X, y)


@pytest.mark.parametrize("levels", [(0.1, 0.2), (0.0, 0.1, 0.1), ()])
def test_level_zero_is_needed_and_none_may_repeat(levels):
    X, y, _, _ = make_blobs(30)
    with pytest.raises(ValueError, match="must have 0"):
        small_probe(noise_levels=levels).fit(X, y)


def test_bad_matrix_is_refused_by_the_probe():
    X, y, _, _ = make_blobs(30)
    with pytest.raises(ValueError, match="must be of shape"):
        small_probe(noise=np.eye(2)).fit(X, y)


def test_a_net_that_diverges_is_an_error():
    X, y, _, _ = make_blobs(100)
    net = NetClassifier(MLP, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="learning rate is too high"):
        small_probe(estimator=net).fit(X, y)


def test_noise_levels_must_be_numbers():
    X, y, _, _ = make_blobs(30)
    with pytest.raises(ValueError, match="noise_levels must be numbers"):
        small_probe(noise_levels=("none", "half")).fit(X, y)


def test_labels_that_follow_nothing():
    """Random labels are memorized, if at all; none is thought to fit well."""
    X, _, _, _ = make_blobs(600)
    y = np.random.RandomState(0).randint(2, size=600)
    probe = small_probe(max_epochs=10).fit(X, y)
    assert probe.examples_["label_quality"].between(0.2, 0.8).mean() > 0.9
    assert (probe.phases_["settling_end"] >= 1).all()
    assert 0 <= probe.n_label_issues_ <= 600


def test_labels_that_are_all_wrong_are_learned_as_they_are():
    """Nobody could tell: a permutation of the classes is as regular as the classes."""
    X, _, true, _ = make_blobs(600)
    probe = small_probe(max_epochs=8).fit(X, (true + 1) % 3)
    assert (probe.predict(X) == (true + 1) % 3).mean() > 0.95
    assert probe.n_label_issues_ < 60


def test_source_of_other_columns_is_refused_by_name():
    X, y = make_memgen_classification(n_samples=200, random_state=0)
    source = SourceNet(hidden_layer_sizes=(8,), max_epochs=1, random_state=0).fit(X)
    probe = small_probe(estimator=NetClassifier(source=source))
    with pytest.raises(ValueError, match=r"fitted on: \['num_0', 'num_1'\]"):
        probe.fit(X.drop(columns=["num_0", "num_1"]), y)


def test_failed_fit_leaves_the_former_one():
    X, y, _, _ = make_blobs(100)
    probe = small_probe().fit(X, y)
    before = probe.predict_proba(X)
    with pytest.raises(ValueError, match="inconsistent"):
        probe.fit(X, y[:50])
    np.testing.assert_array_equal(probe.predict_proba(X), before)


def read_idx(path, n_header):
    with gzip.open(path) as file:
        return np.frombuffer(file.read()[n_header:], np.uint8)


def test_images_of_mnist(data_folder):
    """Wrong labels of images are found through a module of convolutions."""

    class Small(nn.Sequential):
        def __init__(self, n_classes):
            super().__init__(
                nn.Conv2d(1, 8, 5, stride=2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(8 * 12 * 12, n_classes),
            )

    folder, n = data_folder / "mnist", 3000
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    X = images[:n].astype(np.float32) / 255
    true = read_idx(folder / "t10k-labels-idx1-ubyte.gz", 8)[:n].astype(int)
    rng = np.random.RandomState(0)
    wrong = rng.uniform(size=n) < 0.2
    y = np.where(wrong, (true + rng.randint(1, 10, size=n)) % 10, true)
    net = NetClassifier(Small, learning_rate=1e-3)
    probe = NoisyFineTuneProbe(
        net, noise_levels=(0.0, 0.2), max_epochs=8, random_state=0
    ).fit(X, y)
    quality = probe.examples_["label_quality"].to_numpy()
    assert roc_auc_score(~wrong, quality) > 0.97
    assert wrong[quality.argsort()[: wrong.sum() // 2]].mean() > 0.97
    assert 0.7 * wrong.sum() < probe.n_label_issues_ < 1.3 * wrong.sum()
    suggested = probe.examples_["suggested_label"].to_numpy()
    assert (suggested == true)[wrong].mean() > 0.85
    assert (probe.predict(X) == true).mean() > 0.85  # of the labels 0.8 are


class Interrupted(MLP):
    """A net during whose steps there is a Ctrl-C."""

    def forward(self, X):
        if self.training:
            raise KeyboardInterrupt
        return super().forward(X)


def test_ctrl_c_ends_the_fit_and_leaves_the_former_one():
    X, y, _, _ = make_blobs(100)
    probe = small_probe(estimator=NetClassifier(MLP)).fit(X, y)
    before = probe.predict_proba(X)
    probe.set_params(estimator__module=Interrupted)
    with (
        pytest.warns(UserWarning, match="interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        probe.fit(X, y)
    np.testing.assert_array_equal(probe.predict_proba(X), before)
