"""Calibration of WideDeepClassifier: where it is needed, and what it leaves alone."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_memgen import WideDeepClassifier

#: Learns in large steps, so that its logits are large.
OVERCONFIDENT = {
    "hidden_layer_sizes": (64,),
    "learning_rate": 0.2,
    "max_epochs": 3,
    "batch_size": 16,
    "weight_decay": 0.0,
    "ema_decay": None,
    "schedule": "constant",
    "early_stopping": True,
    "validation_fraction": 0.3,
    "random_state": 0,
}


@pytest.fixture(params=[2, 3], ids=["two classes", "three classes"])
def noisy(request):
    X, y = make_classification(
        2000,
        n_informative=4,
        n_classes=request.param,
        flip_y=0.3,
        random_state=0,
    )
    return train_test_split(X, y, random_state=0)


def test_a_net_too_sure_of_itself_is_cooled_down(noisy):
    X, test_X, y, test_y = noisy
    model = WideDeepClassifier(**OVERCONFIDENT).fit(X, y)
    plain = WideDeepClassifier(calibrate=False, **OVERCONFIDENT).fit(X, y)
    assert plain.temperature_ == 1
    assert model.temperature_ > 1.1
    losses = [log_loss(test_y, m.predict_proba(test_X)) for m in (model, plain)]
    assert losses[0] < losses[1]


def test_logits_are_divided_and_explained_as_they_are(noisy):
    X, test_X, y, _ = noisy
    params = OVERCONFIDENT | {"n_members": 1}
    model = WideDeepClassifier(**params).fit(X, y)
    plain = WideDeepClassifier(calibrate=False, **params).fit(X, y)
    assert model.temperature_ > 1.1
    logits = model.decision_function(test_X)
    np.testing.assert_allclose(
        logits * model.temperature_,
        plain.decision_function(test_X),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_array_equal(model.predict(test_X), plain.predict(test_X))
    if logits.ndim == 1:
        explained = model.explain(test_X).to_frame()["logit"]
        np.testing.assert_allclose(explained, logits, rtol=1e-4, atol=1e-5)


def test_without_held_out_rows_there_is_nothing_to_go_by(noisy):
    X, _, y, _ = noisy
    params = OVERCONFIDENT | {"early_stopping": False}
    assert WideDeepClassifier(**params).fit(X, y).temperature_ == 1


def test_training_goes_on_from_the_calibrated_net(noisy):
    X, test_X, y, _ = noisy
    model = WideDeepClassifier(**OVERCONFIDENT).fit(X, y)
    assert model.temperature_ > 1.1
    before = model.predict_proba(test_X)
    model.set_params(learning_rate=1e-9, wide_learning_rate=1e-9)
    model.partial_fit(X[:16], y[:16])
    np.testing.assert_allclose(model.predict_proba(test_X), before, atol=0.02)
