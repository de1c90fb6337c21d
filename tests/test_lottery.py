"""The lottery finds small tickets, says how, and keeps scikit-learn's contract."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import nn

from sklearn_memgen import LotteryPrunedNet, NetClassifier, Ticket, WideDeepClassifier
from tests.probes import MLP, make_blobs

SEARCHES = ("cheap", "iterative", "one_shot", "early_bird")
CONTROLS = ("random_reinit", "random_mask")


def small_lottery(**params):
    defaults = {
        "estimator": NetClassifier(MLP),
        "n_rounds": 2,
        "max_epochs": 4,
        "random_state": 0,
    }
    return LotteryPrunedNet(**(defaults | params))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, random_state=0)


@pytest.fixture(scope="module")
def blobs():
    X, y, _, _ = make_blobs(400)
    return X, y


@pytest.fixture(scope="module")
def searched(digits):
    """An iterative search with controls, down to a tenth."""
    X, _, y, _ = digits
    model = LotteryPrunedNet(
        NetClassifier(MLP),
        search="iterative",
        remaining=0.1,
        prune_rate=0.5,
        output_prune_rate=0.3,
        n_trials=2,
        controls=CONTROLS,
        max_epochs=12,
        keep_weights=True,
        random_state=0,
    )
    return model.fit(X, y)


def is_sparse(model):
    return all(
        (model.net_.module_.get_parameter(name)[~mask] == 0).all()
        for name, mask in model.ticket_.masks.items()
    )


# Evidence


def test_tickets_are_better_than_their_controls(searched, digits):
    """The finding of the paper, on rows that no net has seen."""
    _, X, _, y = digits
    scores = searched.score_rounds(X, y)
    last = scores[scores["round"] == scores["round"].max()]
    loss = last.groupby("kind")["loss"].mean()
    assert loss["ticket"] < 0.8 * loss["random_reinit"]
    assert loss["ticket"] < 0.8 * loss["random_mask"]
    dense = scores.loc[scores["round"] == 0, "accuracy"].mean()
    second = scores[(scores["round"] == 2) & (scores["kind"] == "ticket")]
    assert second["accuracy"].mean() > dense - 0.02


def test_a_row_for_each_net(searched):
    rounds = searched.rounds_
    last = rounds["round"].max()
    assert len(rounds) == 2 + last * 2 * 3
    assert (rounds["stage"] == "search").all()
    tickets = rounds[rounds["kind"] == "ticket"].groupby("round")
    assert tickets["remaining"].nunique().eq(1).all()
    assert tickets["remaining"].first().is_monotonic_decreasing
    of_layers = rounds.filter(like="remaining_")
    assert list(of_layers) == ["remaining_0.weight", "remaining_2.weight"]
    sizes = np.array([64 * 32, 32 * 10])
    shares = of_layers.to_numpy() @ sizes / sizes.sum()
    np.testing.assert_allclose(shares, rounds["remaining"])
    n_steps = rounds["n_epochs"] * -(-1212 // 32)
    assert (rounds["early_stop_iteration"] <= n_steps).all()
    assert rounds["valid_accuracy"].between(0, 1).all()
    assert rounds["seconds"].gt(0).all()


def test_the_target_is_met_but_for_rounding(searched):
    remaining = searched.rounds_["remaining"].min()
    assert remaining == pytest.approx(0.1, abs=2 / 2368)


def test_controls_have_as_many_weights(searched):
    shares = searched.rounds_.groupby("round")[["remaining", "remaining_0.weight"]]
    assert shares.nunique().eq(1).all(axis=None)


def test_the_selected_ticket_predicts(searched, digits):
    _, X, _, y = digits
    rounds = searched.rounds_
    chosen = rounds[
        (rounds["round"] == searched.selected_round_) & (rounds["kind"] == "ticket")
    ]
    assert searched.ticket_.remaining == chosen["remaining"].iloc[0]
    assert is_sparse(searched)
    best = chosen["valid_loss"].idxmin()
    score = searched.score_rounds(X, y)["accuracy"][best]
    assert searched.score(X, y) == pytest.approx(score)


def test_cost_counts_the_tickets_of_a_trial(searched):
    n_rounds = searched.rounds_["round"].max()
    assert searched.cost_["dense_trainings"] == n_rounds + 1
    assert searched.cost_["row_epochs"] == 1212 * 12 * (n_rounds + 1)


def test_instability(searched):
    frame = searched.instability([0, 2], n_points=5)
    assert frame["rewind"].tolist() == [0, 2]
    assert (frame["error_between"] >= frame["error"]).all()
    difference = frame["error_between"] - frame["error"]
    np.testing.assert_allclose(frame["instability"], difference)
    pd.testing.assert_frame_equal(frame, searched.instability([0, 2], n_points=5))
    assert len(searched.instability([1], n_points=3, sparse=True)) == 1
    with pytest.raises(ValueError, match="epochs from 0 to 11; got 12"):
        searched.instability([12])


def test_pickle_leaves_the_rows_behind(searched, digits):
    _, X, _, _ = digits
    loaded = pickle.loads(pickle.dumps(searched))
    np.testing.assert_allclose(loaded.predict_proba(X), searched.predict_proba(X))
    with pytest.raises(NotFittedError, match="not pickled"):
        loaded.instability()


# Searches


@pytest.mark.parametrize("search", SEARCHES)
def test_searches(search, digits):
    a, b, c, d = digits
    model = small_lottery(
        search=search, n_rounds=6, max_epochs=15, n_trials=2, controls=CONTROLS
    ).fit(a, c)
    rounds = model.rounds_
    assert model.score(b, d) > 0.9
    assert is_sparse(model)
    assert set(rounds["kind"]) == {"ticket", *CONTROLS}
    target = 0.8**6 * 2048 + 0.9**6 * 320
    assert rounds["remaining"].min() == pytest.approx(target / 2368, abs=0.003)
    cost = model.cost_["dense_trainings"]
    if search in ("iterative", "one_shot"):
        assert cost == 7
    else:
        assert cost < 4 if search == "cheap" else cost < 7
        finals = rounds[rounds["stage"] == "final"]
        assert (finals["n_epochs"] == 15).all()
        assert set(finals["kind"]) == {"ticket", *CONTROLS}


def test_an_early_bird_stops_when_the_mask_has_settled(digits):
    X, _, y, _ = digits
    model = small_lottery(search="early_bird", max_epochs=30).fit(X, y)
    found = model.rounds_[model.rounds_["stage"] == "search"]
    assert found["n_epochs"].between(4, 25).all()


@pytest.mark.parametrize(
    "criterion", ["magnitude", "magnitude_increase", "movement", "random"]
)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_criteria_and_scopes(criterion, scope, blobs):
    model = small_lottery(criterion=criterion, scope=scope, select="last").fit(*blobs)
    n_kept = round(round(128 * 0.8) * 0.8) + round(round(96 * 0.9) * 0.9)
    frame = model.ticket_.to_frame()
    assert frame["n_remaining"].sum() == pytest.approx(n_kept, abs=1)
    assert is_sparse(model)


def test_pruned_stays_pruned(blobs):
    """Masks of later rounds are within those of earlier ones."""
    one = small_lottery(n_rounds=1, search="iterative", select="last").fit(*blobs)
    two = small_lottery(n_rounds=2, search="iterative", select="last").fit(*blobs)
    for name, mask in two.ticket_.masks.items():
        assert not (mask & ~one.ticket_.masks[name]).any()


def test_reset_goes_back_to_the_first_weights(blobs):
    models = {
        rewind: small_lottery(search="iterative", rewind=rewind, select="last").fit(
            *blobs
        )
        for rewind in ("init", 0, 1)
    }
    first = models["init"].ticket_.initial["0.weight"]
    assert torch.equal(first, models[0].ticket_.initial["0.weight"])
    later = models[1].ticket_.initial["0.weight"]
    assert not torch.equal(first, later)
    n_epochs = models[1].rounds_["n_epochs"]
    assert n_epochs.tolist() == [4, 3, 3]
    dense = small_lottery(n_rounds=0).fit(*blobs)
    assert torch.equal(dense.ticket_.initial["0.weight"], first)


def test_without_reset_training_goes_on(blobs):
    model = small_lottery(search="iterative", reset=False, select="last").fit(*blobs)
    losses = model.rounds_["valid_loss"]
    dense = small_lottery(n_rounds=0).fit(*blobs)
    first = dense.ticket_.initial["0.weight"]
    assert not torch.equal(model.ticket_.initial["0.weight"], first)
    assert losses.iloc[-1] < losses.iloc[0]


@pytest.mark.parametrize(
    ("select", "round_"), [("last", 3), (1.0, 0), (0.66, 2), (0.8, 1)]
)
def test_select_by_size(select, round_, blobs):
    model = small_lottery(search="iterative", n_rounds=3, select=select).fit(*blobs)
    assert model.selected_round_ == round_


def test_select_by_loss(blobs):
    models = {
        (select, tolerance): small_lottery(
            search="iterative", n_rounds=3, select=select, tolerance=tolerance
        ).fit(*blobs)
        for select, tolerance in [("best", 0), ("smallest", 0), ("smallest", 9.0)]
    }
    rounds = models["best", 0].rounds_
    best = rounds["round"][rounds["valid_loss"].idxmin()]
    assert models["best", 0].selected_round_ == best
    assert models["smallest", 0].selected_round_ == best
    assert models["smallest", 9.0].selected_round_ == 3


def test_all_weights_may_remain(blobs):
    for search in SEARCHES:
        model = small_lottery(n_rounds=None, remaining=1.0, search=search).fit(*blobs)
        assert model.ticket_.remaining == 1


def test_looks_between_epochs(blobs):
    estimator = NetClassifier(MLP, learning_rate=0.03)
    params = {"validate_every": 5, "search": "iterative", "max_epochs": 30}
    model = small_lottery(estimator=estimator, **params).fit(*blobs)
    n_steps = -(-360 // 32)
    assert (model.rounds_["early_stop_iteration"] % n_steps).any()
    assert (model.rounds_["early_stop_iteration"] <= 30 * n_steps).all()


# Determinism


@pytest.mark.parametrize("search", SEARCHES)
def test_random_state_fixes_tickets(search, blobs):
    one, two, other = (
        small_lottery(search=search, select="last", random_state=seed).fit(*blobs)
        for seed in (0, 0, 1)
    )
    drop = ["seconds"]
    pd.testing.assert_frame_equal(
        one.rounds_.drop(columns=drop), two.rounds_.drop(columns=drop)
    )
    for name, mask in one.ticket_.masks.items():
        assert torch.equal(mask, two.ticket_.masks[name])
        assert not torch.equal(mask, other.ticket_.masks[name])


@pytest.mark.parametrize("strategy", ["stacked", "joblib"])
def test_strategies_agree(strategy, blobs):
    params = {"n_trials": 2, "controls": CONTROLS, "search": "iterative"}
    alone = small_lottery(strategy="sequential", **params).fit(*blobs)
    other = small_lottery(strategy=strategy, n_jobs=2, **params).fit(*blobs)
    names = ["kind", "trial", "remaining", "valid_loss", "train_accuracy"]
    pd.testing.assert_frame_equal(
        alone.rounds_[names], other.rounds_[names], rtol=1e-3, atol=1e-3
    )


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
