"""Accuracies of rules come out of where they meet, with labels and without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_memgen.rules import fit_label_model


def draw_rules(rng, n_rows=10_000, n_classes=5, n_rules=40, recall=(0.05, 0.5)):
    """Rules that match rows of their class and, at times, others."""
    balance = rng.dirichlet(np.full(n_classes, 3.0))
    y = rng.choice(n_classes, n_rows, p=balance)
    assigned = np.arange(n_rules) % n_classes
    precision = rng.uniform(0.5, 0.98, n_rules)
    inside = rng.uniform(*recall, n_rules)
    share = balance[assigned]
    outside = inside * share * (1 / precision - 1) / (1 - share)
    rates = np.where(y[:, None] == assigned, inside, np.minimum(outside, 1))
    matched = rng.random(rates.shape) < rates
    right = np.array(
        [np.mean(y[m] == c) for m, c in zip(matched.T, assigned, strict=True)]
    )
    return sparse.csr_matrix(matched), assigned, y, right


def majority(matched, assigned, n_classes):
    votes = sparse.csr_matrix(
        (np.ones(len(assigned)), (np.arange(len(assigned)), assigned)),
        shape=(len(assigned), n_classes),
    )
    counts = (matched.astype(float) @ votes).toarray()
    # Ties are broken at random.
    return (counts + np.random.default_rng(0).random(counts.shape) / 2).argmax(1)


@pytest.mark.parametrize(("n_classes", "n_rules"), [(2, 12), (5, 40), (30, 200)])
@pytest.mark.parametrize("seed", range(2))
def test_planted_accuracies_are_found(seed, n_classes, n_rules):
    """With two classes, too, where rules of a class could all be right together."""
    rng = np.random.default_rng(seed)
    matched, assigned, y, right = draw_rules(rng, n_classes=n_classes, n_rules=n_rules)
    model = fit_label_model(matched, assigned, n_classes=n_classes)
    assert model.converged
    seen = model.n_matched > 50
    errors = np.abs(model.accuracies - right)[seen]
    assert errors.mean() < 0.05 < np.abs(0.9 - right)[seen].mean() / 2
    assert np.corrcoef(model.accuracies[seen], right[seen])[0, 1] > 0.9
    rows = np.diff(matched.indptr) > 0
    found = model.posterior(matched).argmax(axis=1)
    usual = majority(matched, assigned, n_classes)
    assert np.mean((found == y)[rows]) > np.mean((usual == y)[rows]) + 0.01
    balance = np.bincount(y, minlength=n_classes) / len(y)
    assert np.abs(model.class_balance - balance).max() < 0.06


def test_probabilities_are_as_sure_as_they_should_be():
    matched, assigned, y, _ = draw_rules(np.random.default_rng(0), n_rows=20_000)
    top = fit_label_model(matched, assigned, n_classes=5).posterior(matched)
    np.testing.assert_allclose(top.sum(axis=1), 1)
    right, sure = top.argmax(axis=1) == y, top.max(axis=1)
    for low in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        rows = (sure >= low) & (sure < low + 0.1)
        assert abs(right[rows].mean() - sure[rows].mean()) < 0.06


def test_labels_help():
    """Rules that err together look right, until labels tell."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3000)
    together = np.where(rng.random(3000) < 0.6, 0, y)
    matched = np.column_stack(
        [together == 0] * 3 + [y == 0] + [together == 1] * 3 + [y == 1]
    )
    matched &= rng.random(matched.shape) < 0.5
    assigned = [0] * 4 + [1] * 4
    right = np.array(
        [np.mean(y[m] == c) for m, c in zip(matched.T, assigned, strict=True)]
    )
    errors = []
    for share in (0, 0.1, 0.5):
        labels = np.where(rng.random(3000) < share, y, -1)
        model = fit_label_model(
            sparse.csr_matrix(matched), assigned, n_classes=2, labels=labels
        )
        errors.append(np.abs(model.accuracies - right).mean())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.06 < errors[0] / 2


def test_all_labels_give_counted_shares():
    matched, assigned, y, right = draw_rules(np.random.default_rng(1), n_rows=500)
    model = fit_label_model(matched, assigned, n_classes=5, labels=y, prior_strength=2)
    n = matched.getnnz(axis=0)
    expected = (np.nan_to_num(right) * n + 1.8) / (n + 2)
    np.testing.assert_allclose(model.accuracies, expected)
    counts = np.bincount(y, minlength=5)
    np.testing.assert_allclose(model.class_balance, (counts + 1) / 505)


def brute_force(model, matched):
    """Return probabilities, row by row as the model is written."""
    rates, rows = model._rates, []
    for row in matched:
        each = rates.balance.copy()
        for rule, holds in enumerate(row):
            own = np.arange(len(each)) == rates.assigned[rule]
            rate = np.where(own, rates.inside[rule], rates.outside[rule])
            each *= rate if holds else 1 - rate
        rows.append(each / each.sum())
    return np.array(rows)


@given(
    seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 4), labeled=st.booleans()
)
def test_as_the_formula_has_it_and_never_downhill(seed, n_classes, labeled):
    rng = np.random.default_rng(seed)
    matched = rng.random((15, 5)) < 0.4
    assigned = rng.integers(0, n_classes, 5)
    labels = rng.integers(-1, n_classes, 15) if labeled else None
    rows = sparse.csr_matrix(matched)
    model = fit_label_model(
        rows, assigned, n_classes=n_classes, labels=labels, tol=0, max_iter=30
    )
    assert np.diff(model.log_posterior).min(initial=0) > -1e-9
    distinct = {(c, m.tobytes()) for c, m in zip(assigned, matched.T, strict=True)}
    if len(distinct) == 5:
        np.testing.assert_allclose(
            model.posterior(rows), brute_force(model, matched), atol=1e-9
        )


def test_rules_that_match_alike_count_once():
    matched, assigned, _, _ = draw_rules(
        np.random.default_rng(2), n_rows=3000, n_rules=15
    )
    alone = fit_label_model(matched, assigned, n_classes=5)
    thrice = sparse.hstack([matched, matched[:, [0, 0]]]).tocsr()
    copied = fit_label_model(thrice, [*assigned, assigned[0], assigned[0]], n_classes=5)
    np.testing.assert_allclose(copied.accuracies[:15], alone.accuracies, atol=2e-3)
    np.testing.assert_allclose(copied.accuracies[15:], copied.accuracies[0])
    np.testing.assert_allclose(
        copied.posterior(thrice), alone.posterior(matched), atol=5e-3
    )


def test_a_rule_that_matches_everything_is_not_believed():
    matched, assigned, y, _ = draw_rules(np.random.default_rng(3))
    everything = sparse.csr_matrix(np.ones((len(y), 1), dtype=bool))
    model = fit_label_model(
        sparse.hstack([matched, everything]).tocsr(), [*assigned, 1], n_classes=5
    )
    assert model.accuracies[-1] == pytest.approx(np.mean(y == 1), abs=0.05)


def test_one_rule_alone_stays_near_the_prior():
    matched = sparse.csr_matrix([[1], [0], [1], [1]])
    model = fit_label_model(matched, [1], n_classes=4, prior_accuracy=0.7)
    assert model.accuracies == pytest.approx([0.7], abs=0.1)
    assert model.n_matched.tolist() == [3]
    assert model.posterior(matched)[0].argmax() == 1


def test_nothing_to_go_by():
    silent = fit_label_model(sparse.csr_matrix((5, 3)), [0, 1, 1], n_classes=2)
    assert silent.accuracies == pytest.approx([0.9] * 3) and silent.converged
    for shape in ((5, 0), (0, 3), (0, 0)):
        empty = fit_label_model(sparse.csr_matrix(shape), [0] * shape[1], n_classes=2)
        assert len(empty.accuracies) == shape[1]
        assert empty.posterior(sparse.csr_matrix((4, shape[1]))).shape == (4, 2)


def test_it_says_when_it_did_not_converge():
    matched, assigned, _, _ = draw_rules(np.random.default_rng(0), n_rows=500)
    model = fit_label_model(matched, assigned, n_classes=5, max_iter=2)
    assert not model.converged and model.n_iter == 2
    assert repr(model) == (
        "LabelModel of 40 rules and 5 classes, not converged after 2 steps"
    )
    assert model.to_frame().columns.tolist() == ["accuracy", "n_matched"]


def test_a_step_needs_no_dense_matrix(monkeypatch):
    """It costs as much as there are matches; rows times classes never stand there."""
    rng = np.random.default_rng(0)
    matched = sparse.random(
        100_000, 1000, density=0.003, format="csr", random_state=rng
    )
    largest = []
    bincount = np.bincount

    def record(*args, **kwargs):
        largest.append(len(counts := bincount(*args, **kwargs)))
        return counts

    monkeypatch.setattr(np, "bincount", record)
    model = fit_label_model(matched, np.arange(1000) % 200, n_classes=200, max_iter=3)
    assert model.n_iter == 3
    assert largest and max(largest) <= matched.nnz


MATCHED = sparse.csr_matrix([[True, True], [False, True]])


@pytest.mark.parametrize(
    ("error", "message", "parameters"),
    [
        (TypeError, "sparse matrix, of rows and rules; got list", {"matched": [[1]]}),
        (ValueError, "each of 3 rules; got 2", {"assigned": [0, 1, 1]}),
        (ValueError, "assigned must lie .* = 1; got 0 to 2", {"assigned": [0, 2]}),
        (TypeError, "assigned must be .*type float64", {"assigned": [0.0, 1]}),
        (ValueError, "'n_classes' parameter.*Got 1", {"n_classes": 1}),
        (TypeError, "'n_classes' parameter.*Got 2.0", {"n_classes": 2.0}),
        (ValueError, "each of 2 rows", {"labels": [0]}),
        (TypeError, "labels must be .*type float64", {"labels": [0.0, 1]}),
        (ValueError, "labels must lie .* = 1; got 0 to 2", {"labels": [0, 2]}),
        (ValueError, "'prior_accuracy' parameter.*Got 1", {"prior_accuracy": 1}),
        (ValueError, "'prior_strength' parameter.*Got 0", {"prior_strength": 0}),
        (ValueError, "'max_iter' parameter.*Got 0", {"max_iter": 0}),
        (TypeError, "'tol' parameter.*Got '1'", {"tol": "1"}),
    ],
)
def test_wrong_parameters(error, message, parameters):
    with pytest.raises(error, match=message):
        fit_label_model(
            **{"matched": MATCHED, "assigned": [0, 1], "n_classes": 2, **parameters}
        )


def test_other_rules_are_refused():
    model = fit_label_model(MATCHED, [0, 1], n_classes=2)
    with pytest.raises(ValueError, match="each of 2 rules; got 1"):
        model.posterior(MATCHED[:, :1])
