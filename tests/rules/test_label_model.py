"""Accuracies of rules come out of where they meet, with labels and without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_memgen.rules.label_model import fit_label_model


def draw_votes(rng, n_rows=6000, n_rules=30, n_classes=5, coverage=0.1):
    """Rules that vote for any class, and err independently of each other."""
    y = rng.integers(0, n_classes, n_rows)
    accuracies = rng.uniform(0.5, 0.98, n_rules)
    shape = (n_rows, n_rules)
    wrong = (y[:, None] + rng.integers(1, n_classes, shape)) % n_classes
    votes = np.where(rng.random(shape) < accuracies, y[:, None], wrong) + 1
    votes[rng.random(shape) > coverage] = 0
    return sparse.csr_matrix(votes), y, accuracies


def draw_rules_of_one_class(rng, n_rows=20_000, n_classes=10):
    """Five rules a class, which vote for it where it is and, at times, is not."""
    y = rng.integers(0, n_classes, n_rows)
    classes = np.arange(5 * n_classes) % n_classes
    precision = rng.uniform(0.5, 0.98, len(classes))
    recall = rng.uniform(0.1, 0.5, len(classes))
    elsewhere = recall * (1 / precision - 1) / (n_classes - 1)
    votes = rng.random((n_rows, len(classes))) < np.where(
        y[:, None] == classes, recall, elsewhere
    )
    return sparse.csr_matrix(votes * (classes + 1)), y, precision


def majority(votes, n_classes):
    rows = np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr))
    counts = np.zeros((votes.shape[0], n_classes))
    np.add.at(counts, (rows, votes.data - 1), 1)
    # Ties are broken at random.
    return (counts + np.random.default_rng(0).random(counts.shape) / 2).argmax(1)


@pytest.mark.parametrize("seed", range(3))
def test_planted_accuracies_are_found(seed):
    votes, y, accuracies = draw_votes(np.random.default_rng(seed))
    model = fit_label_model(votes, n_classes=5)
    assert model.converged
    assert np.abs(model.accuracies - accuracies).max() < 0.06
    assert np.abs(model.accuracies - accuracies).mean() < 0.02
    voted = np.diff(votes.indptr) > 0
    found = model.posterior(votes).argmax(axis=1)
    share_right = np.mean(found[voted] == y[voted])
    assert share_right > np.mean(majority(votes, 5)[voted] == y[voted]) + 0.015
    assert np.abs(model.class_balance - 0.2).max() < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_rules_of_one_class_come_near(seed):
    votes, y, precision = draw_rules_of_one_class(np.random.default_rng(seed))
    model = fit_label_model(votes, n_classes=10)
    errors, prior_errors = np.abs([model.accuracies - precision, 0.9 - precision])
    assert errors.mean() < 0.07 < prior_errors.mean() / 2
    assert np.corrcoef(model.accuracies, precision)[0, 1] > 0.85
    voted = np.diff(votes.indptr) > 0
    found = model.posterior(votes).argmax(axis=1)
    share_right = np.mean(found[voted] == y[voted])
    assert share_right > np.mean(majority(votes, 10)[voted] == y[voted]) + 0.01


def test_probabilities_are_as_sure_as_they_should_be():
    votes, y, _ = draw_votes(np.random.default_rng(0), n_rows=20_000)
    top = fit_label_model(votes, n_classes=5).posterior(votes)
    right, sure = top.argmax(axis=1) == y, top.max(axis=1)
    for low in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        rows = (sure >= low) & (sure < low + 0.1)
        assert abs(right[rows].mean() - sure[rows].mean()) < 0.06


def test_labels_help():
    """Rules that err together look right, until labels tell."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 2000)
    wrong_together = (y + (rng.random(2000) < 0.6)) % 3
    votes = np.column_stack([wrong_together] * 3 + [y, y]) + 1
    votes[rng.random(votes.shape) < 0.5] = 0
    votes = sparse.csr_matrix(votes)
    errors = []
    for share in (0, 0.2, 0.5):
        labels = np.where(rng.random(2000) < share, y, -1)
        model = fit_label_model(votes, n_classes=3, labels=labels)
        errors.append(np.abs(model.accuracies - [0.4, 0.4, 0.4, 1, 1]).mean())
    assert errors[0] > 0.5 and errors[1] < 0.45 and errors[2] < 0.05


def test_all_labels_give_counted_shares():
    votes, y, _ = draw_votes(np.random.default_rng(1), n_rows=500)
    model = fit_label_model(votes, n_classes=5, labels=y, prior_strength=2)
    rows = np.repeat(np.arange(500), np.diff(votes.indptr))
    right = np.bincount(votes.indices, votes.data - 1 == y[rows], minlength=30)
    counts = np.bincount(votes.indices, minlength=30)
    np.testing.assert_allclose(model.accuracies, (right + 1.8) / (counts + 2))
    np.testing.assert_allclose(model.class_balance, np.bincount(y) / 500)


def brute_force(votes, labels, accuracies, n_classes):
    """Likelihood and probabilities, row by row as the model is written."""
    total, rows = 0.0, []
    for row, label in zip(votes, labels, strict=True):
        each = np.ones(n_classes) / n_classes
        for vote, accuracy in zip(row, accuracies, strict=True):
            if vote:
                right = np.arange(n_classes) == vote - 1
                each *= np.where(right, accuracy, (1 - accuracy) / (n_classes - 1))
        if label >= 0:
            each *= np.arange(n_classes) == label
        total += np.log(each.sum())
        rows.append(each / each.sum())
    return total, np.array(rows)


matrices = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(rng=matrices, n_classes=st.integers(2, 4), labeled=st.booleans())
def test_as_the_formula_has_it_and_never_downhill(rng, n_classes, labeled):
    votes = rng.integers(0, n_classes + 1, (12, 4)) * (rng.random((12, 4)) < 0.6)
    labels = rng.integers(-1, n_classes, 12) if labeled else np.full(12, -1)
    model = fit_label_model(
        sparse.csr_matrix(votes), n_classes=n_classes, labels=labels, tol=0
    )
    assert np.diff(model.log_posterior).min(initial=0) > -1e-9
    # The first steps of the path, against brute force; the constant is left out.
    values = []
    for n_iter in (1, 2):
        accuracies = np.full(4, 0.9)
        if n_iter == 2:
            short = fit_label_model(
                sparse.csr_matrix(votes),
                n_classes=n_classes,
                labels=labels,
                max_iter=1,
            )
            accuracies = short.accuracies
        kinds = {
            column.tobytes(): a for column, a in zip(votes.T, accuracies, strict=True)
        }
        distinct = np.array([np.frombuffer(key, votes.dtype) for key in kinds]).T
        each = np.array(list(kinds.values()))
        likelihood, _ = brute_force(distinct, labels, each, n_classes)
        prior = 9 * np.log(each) + 1 * np.log1p(-each)
        values.append(likelihood + prior.sum())
    np.testing.assert_allclose(
        np.diff(values), np.diff(model.log_posterior[:2]), atol=1e-8
    )
    if len({column.tobytes() for column in votes.T}) == 4:
        _, wanted = brute_force(votes, np.full(12, -1), model.accuracies, n_classes)
        found = model.posterior(sparse.csr_matrix(votes))
        voted = (votes > 0).any(axis=1)
        np.testing.assert_allclose(found[voted], wanted[voted], atol=1e-9)
        for row in found[~voted]:
            np.testing.assert_allclose(row, model.class_balance)


def test_rules_that_vote_alike_count_once():
    votes, _, _ = draw_votes(np.random.default_rng(2), n_rows=1000, n_rules=6)
    alone = fit_label_model(votes, n_classes=5)
    thrice = sparse.hstack([votes, votes[:, [0, 0]]]).tocsr()
    copied = fit_label_model(thrice, n_classes=5)
    np.testing.assert_allclose(copied.accuracies[:6], alone.accuracies, atol=2e-3)
    np.testing.assert_allclose(copied.accuracies[6:], copied.accuracies[0])
    np.testing.assert_allclose(copied.weights, [1 / 3, 1, 1, 1, 1, 1, 1 / 3, 1 / 3])
    np.testing.assert_allclose(
        copied.posterior(thrice), alone.posterior(votes), atol=5e-3
    )


def test_a_rule_that_always_says_the_same_is_not_believed():
    votes, y, _ = draw_votes(np.random.default_rng(3), coverage=0.3)
    constant = sparse.csr_matrix(np.full((len(y), 1), 2))
    model = fit_label_model(sparse.hstack([votes, constant]).tocsr(), n_classes=5)
    assert model.accuracies[-1] == pytest.approx(np.mean(y == 1), abs=0.02)


def test_one_rule_alone_keeps_the_prior():
    votes = sparse.csr_matrix([[2], [0], [2], [2]])
    model = fit_label_model(votes, n_classes=4, prior_accuracy=0.7)
    assert model.accuracies == pytest.approx([0.7])
    assert model.n_informative.tolist() == [0] and model.n_votes.tolist() == [3]
    probabilities = model.posterior(votes)
    assert probabilities[0] == pytest.approx([0.1, 0.7, 0.1, 0.1])
    assert probabilities[1] == pytest.approx(model.class_balance)
    assert model.to_frame().loc[0].tolist() == pytest.approx([0.7, 3, 0])


def test_nothing_to_go_by():
    silent = fit_label_model(sparse.csr_matrix((5, 3), dtype=int), n_classes=2)
    assert silent.accuracies == pytest.approx([0.9] * 3) and silent.converged
    assert silent.posterior(sparse.csr_matrix((2, 3), dtype=int)).tolist() == [
        [0.5, 0.5],
        [0.5, 0.5],
    ]
    for shape in ((5, 0), (0, 3), (0, 0)):
        empty = fit_label_model(sparse.csr_matrix(shape, dtype=int), n_classes=2)
        assert len(empty.accuracies) == shape[1]
        votes = sparse.csr_matrix((4, shape[1]), dtype=int)
        assert empty.posterior(votes).shape == (4, 2)
    told = fit_label_model(
        sparse.csr_matrix((4, 1), dtype=int), n_classes=2, labels=[1, 1, 0, -1]
    )
    assert told.class_balance == pytest.approx([1 / 3, 2 / 3])


def test_it_says_when_it_did_not_converge():
    votes, _, _ = draw_votes(np.random.default_rng(0), n_rows=500)
    model = fit_label_model(votes, n_classes=5, max_iter=2)
    assert not model.converged and model.n_iter == 2
    assert repr(model) == (
        "LabelModel of 30 rules and 5 classes, not converged after 2 steps"
    )


def test_many_rules_and_classes_need_no_dense_matrix(monkeypatch):
    """A step costs as much as there are votes; rows times classes never stand there."""
    rng = np.random.default_rng(0)
    votes = sparse.random(100_000, 1000, density=0.003, format="csr", random_state=rng)
    votes = votes.astype(int)
    votes.data = votes.indices % 200 + 1
    largest = []
    bincount = np.bincount

    def record(*args, **kwargs):
        largest.append(len(counts := bincount(*args, **kwargs)))
        return counts

    monkeypatch.setattr(np, "bincount", record)
    model = fit_label_model(votes, n_classes=200, max_iter=3)
    assert model.n_iter == 3
    assert largest and max(largest) <= votes.nnz


VOTES = sparse.csr_matrix([[1, 2], [0, 1]])


@pytest.mark.parametrize(
    ("error", "message", "parameters"),
    [
        (TypeError, "sparse matrix, of rows and rules; got list", {"votes": [[1]]}),
        (TypeError, "the type float64", {"votes": VOTES.astype(float)}),
        (ValueError, "n_classes=2; got 1 to 3", {"votes": VOTES + VOTES[[1, 1]]}),
        (ValueError, "got -1 to 2", {"votes": sparse.csr_matrix([[-1, 2]])}),
        (ValueError, "'n_classes' parameter.*Got 1", {"n_classes": 1}),
        (TypeError, "'n_classes' parameter.*Got 2.0", {"n_classes": 2.0}),
        (ValueError, "each of 2 rows", {"labels": [0]}),
        (
            TypeError,
            "labels must be integers.*got the type float64",
            {"labels": [0.0, 1]},
        ),
        (ValueError, "n_classes - 1 = 1; got 0 to 2", {"labels": [0, 2]}),
        (ValueError, "'prior_accuracy' parameter.*Got 1", {"prior_accuracy": 1}),
        (ValueError, "'prior_strength' parameter.*Got 0", {"prior_strength": 0}),
        (ValueError, "'prior_strength' parameter.*Got nan", {"prior_strength": np.nan}),
        (ValueError, "'max_iter' parameter.*Got 0", {"max_iter": 0}),
        (TypeError, "'tol' parameter.*Got '1'", {"tol": "1"}),
    ],
)
def test_wrong_parameters(error, message, parameters):
    with pytest.raises(error, match=message):
        fit_label_model(**{"votes": VOTES, "n_classes": 2, **parameters})


def test_other_rules_are_refused():
    model = fit_label_model(VOTES, n_classes=2)
    with pytest.raises(ValueError, match="each of 2 rules; got 1"):
        model.posterior(VOTES[:, :1])
    kept = VOTES.copy()
    model.posterior(VOTES)
    np.testing.assert_array_equal(VOTES.toarray(), kept.toarray())
