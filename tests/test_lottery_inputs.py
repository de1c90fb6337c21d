"""What a lottery takes: kinds of input, tickets of other fits, and what is refused."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from sklearn_memgen import LotteryPrunedNet, NetClassifier, Ticket, WideDeepClassifier
from tests.lotteries import is_sparse, small_lottery
from tests.probes import MLP, make_blobs

# Inputs


def test_a_table_of_mixed_columns(mixed_table):
    X, y = mixed_table
    model = LotteryPrunedNet(remaining=0.3, max_epochs=8, random_state=0).fit(X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.score(X, y) > 0.8
    assert model.predict_proba(X.iloc[:3]).shape == (3, 2)
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    assert all(name.startswith("deep.layers") for name in model.ticket_.masks)
    assert is_sparse(model)
    assert set(model.predict(X.iloc[:20])) <= {"no", "yes"}


def test_of_wide_and_deep_the_wide_part_stays(mixed_table):
    X, y = mixed_table
    wide = WideDeepClassifier(hidden_layer_sizes=(16,), n_members=2)
    model = LotteryPrunedNet(wide, remaining=0.3, max_epochs=5, random_state=0)
    model.fit(X, y)
    assert all(name.startswith("deep.layers") for name in model.ticket_.masks)
    assert len(model.estimator_.wide_weights_)


class ConvNet(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(
            nn.Conv2d(1, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(72, n_classes),
        )


def test_images_and_convolutions(digits):
    X, X_test, y, y_test = digits
    model = small_lottery(
        estimator=NetClassifier(ConvNet), n_rounds=3, max_epochs=10
    ).fit(X.reshape(-1, 1, 8, 8), y)
    assert list(model.ticket_.masks) == ["0.weight", "4.weight"]
    assert model.score(X_test.reshape(-1, 1, 8, 8), y_test) > 0.85


def test_two_classes_weights_and_callbacks(blobs):
    X, y = blobs
    two = np.where(y == "ash", "ash", "other")
    weight = np.ones(len(y))
    weight[:50] = 0
    model = small_lottery(estimator=NetClassifier(MLP, class_weight="balanced"))
    model.fit(X, two, sample_weight=weight)
    assert model.classes_.tolist() == ["ash", "other"]
    assert model.score(X, two) > 0.8


def test_too_few_rows_to_hold_any_out():
    X, y, _, _ = make_blobs(6, 0, seed=1)
    assert len(small_lottery(validation_fraction=0.01).fit(X, y).rounds_)


# Tickets of other fits


def test_a_ticket_on_other_rows(digits):
    a, b, c, d = digits
    found = small_lottery(n_rounds=5, select="last", max_epochs=15).fit(
        a[:700], c[:700]
    )
    model = small_lottery(ticket=found.ticket_, n_rounds=None, max_epochs=15)
    model.set_params(n_trials=2, controls=["random_mask"]).fit(a[700:], c[700:])
    assert model.score(b, d) > 0.85
    for name, mask in model.ticket_.masks.items():
        assert torch.equal(mask, found.ticket_.masks[name])
        assert torch.equal(
            model.ticket_.initial[name], found.ticket_.initial[name] * mask
        )
    assert is_sparse(model)
    assert model.rounds_["kind"].tolist() == ["ticket"] * 2 + ["random_mask"] * 2


def test_a_ticket_of_a_table_brings_its_encoder(mixed_table):
    X, y = mixed_table
    params = {"max_epochs": 5, "random_state": 0}
    found = LotteryPrunedNet(remaining=0.3, select="last", **params)
    found.fit(X[:200], y[:200])
    other = X[200:].assign(city="Paris")
    model = LotteryPrunedNet(ticket=found.ticket_, **params).fit(other, y[200:])
    assert model.encoder_ is found.encoder_
    assert model.ticket_.remaining == found.ticket_.remaining
    assert clone(model).fit(other, y[200:]).ticket_.remaining < 0.4


def test_a_ticket_for_another_task(digits, tmp_path):
    X, X_test, y, y_test = digits
    found = small_lottery(n_rounds=5, select="last").fit(X, y)
    found.ticket_.save(tmp_path / "ticket.pt")
    ticket = Ticket.load(tmp_path / "ticket.pt")
    with pytest.raises(
        ValueError, match=r"'2.weight' \(10, 32\) in the ticket, \(2, 32\)"
    ):
        small_lottery(ticket=ticket).fit(X, y > 4)
    model = small_lottery(ticket=ticket.drop("2.*"), max_epochs=10).fit(X, y > 4)
    assert model.ticket_.masks["2.weight"].all()
    assert model.score(X_test, y_test > 4) > 0.85


# scikit-learn


@pytest.mark.parametrize(
    "grid",
    [
        {"prune_rate": [0.2, 0.5]},
        {"remaining": [0.3, 0.8], "n_rounds": [None]},
        {"rewind": ["init", 1]},
    ],
)
def test_grid_search(grid, blobs):
    search = GridSearchCV(small_lottery(max_epochs=2), grid, cv=2).fit(*blobs)
    assert search.best_score_ > 0.4


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"remaining": 0.0, "n_rounds": None}, "The 'remaining' parameter"),
        ({"remaining": 1.5, "n_rounds": None}, "The 'remaining' parameter"),
        ({"prune_rate": 1.0}, "The 'prune_rate' parameter"),
        ({"select": "largest"}, "The 'select' parameter"),
        ({"search": "random"}, "The 'search' parameter"),
        ({"remaining": 0.5}, "either n_rounds or remaining"),
        ({"instability_epochs": [4]}, "instability_epochs must hold epochs from 0"),
        ({"instability_epochs": [0.5]}, "instability_epochs must hold epochs from"),
        ({"rewind": 4}, "rewind=4 is beyond training: of 4 epochs"),
        (
            {"n_rounds": 60, "output_prune_rate": 0.5},
            "'2.weight' would be pruned to noth",
        ),
        ({"n_rounds": 60}, "'0.weight' would be pruned to nothing"),
        (
            {"n_rounds": 8, "prune_rate": 0.6, "scope": "global"}
            | {"search": "iterative"},
            "to nothing",
        ),
        ({"controls": ("random_mask",)}, "need n_trials of 2 or more"),
        ({"controls": ("reinit",), "n_trials": 2}, "controls must be among"),
        (
            {
                "remaining": 0.1,
                "n_rounds": None,
                "output_prune_rate": 0.0,
            },
            "remaining=0.1 is never reached",
        ),
    ],
)
def test_bad_parameters(params, message, blobs):
    with pytest.raises(ValueError, match=message):
        small_lottery(**params).fit(*blobs)


class Lookup(nn.Module):
    """A net without a layer to prune."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, X):
        return X[:, :1] * 0 + self.bias


def test_a_net_without_layers_to_prune(blobs):
    with pytest.raises(ValueError, match="Lookup has no layer that can be pruned"):
        small_lottery(estimator=NetClassifier(Lookup)).fit(*blobs)


class NanMLP(MLP):
    """A net whose first weights are no numbers."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        nn.init.constant_(self[2].weight, torch.nan)


def test_a_net_that_begins_with_nan(blobs):
    with pytest.raises(ValueError, match="initial weights of '2.weight' hold NaN"):
        small_lottery(estimator=NetClassifier(NanMLP)).fit(*blobs)


def test_a_net_that_diverges(blobs):
    estimator = NetClassifier(MLP, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="learning rate"):
        small_lottery(estimator=estimator).fit(*blobs)


def test_weights_that_were_not_kept(blobs):
    model = small_lottery(verbose=1).fit(*blobs)
    with pytest.raises(ValueError, match="keep_weights=True"):
        model.score_rounds(*blobs)


def test_compact_ticket_predicts_the_same_and_is_small(blobs):
    X, y = blobs
    model = small_lottery(n_rounds=None, remaining=0.1).fit(X, y)
    small = model.compact()
    np.testing.assert_allclose(
        small.predict_proba(X), model.predict_proba(X), atol=1e-5
    )
    dense = NetClassifier(MLP, max_epochs=4, random_state=0).fit(X, y)
    assert len(pickle.dumps(small)) < len(pickle.dumps(dense))


def test_verbose_prints_a_line_a_ticket(blobs, capsys):
    small_lottery(verbose=1, search="iterative").fit(*blobs)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:7] for line in lines] == ["Round 0", "Round 1", "Round 2"]
