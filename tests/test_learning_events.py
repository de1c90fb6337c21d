"""A probe counts, class by class, what was learned and what was forgotten."""

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback

from sklearn_memgen import NetClassifier
from tests.probes import MLP, make_blobs, small_probe


class Recorder(Callback):
    """Records a number of its own in each epoch."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("own_score", 10.0 * len(net.history))


@pytest.fixture(scope="module")
def probe():
    X, y, _, _ = make_blobs(300)
    net = NetClassifier(MLP, callbacks=[Recorder()])
    return small_probe(
        estimator=net,
        noise_levels=(0.0, 0.3),
        n_repeats=2,
        max_epochs=6,
        validation_fraction=0.2,
    ).fit(X, y)


def test_every_learned_label_is_counted_once(probe):
    """Of each level and repeat, right or wrong; threshold samples are not."""
    events = probe.learning_events_
    assert events.index.names == ["level", "labels", "class"]
    n_rows = probe.noise_.groupby("level")["n_rows"].sum()
    assert events.groupby("level")["n_labels"].sum().to_dict() == n_rows.to_dict()
    wrong = events.xs("wrong", level="labels")["n_labels"]
    assert wrong.groupby("level").sum().to_dict() == {0.3: round(0.3 * n_rows[0.3])}
    assert (events["n_learned"] <= events["n_labels"]).all()
    share = events["n_forgettable"] / events["n_learned"]
    pd.testing.assert_series_equal(
        events["forgettable_share"], share, check_names=False
    )


def test_counts_are_those_of_the_rows(probe):
    """Level 0, of which `examples_` has the means of both nets."""
    events = probe.learning_events_.xs((0.0, "clean"))
    examples = probe.examples_
    for label, own in events.iterrows():
        rows = examples[examples["given_label"] == label]
        assert own["n_labels"] <= 2 * len(rows)
        assert own["first_learned_epoch"] == pytest.approx(
            rows["first_learned_epoch"].mean(), abs=0.3
        )


def test_wrong_labels_are_learned_later_and_forgotten_more(probe):
    events = probe.learning_events_.loc[0.3].groupby("labels").sum()
    learned = events["n_learned"] / events["n_labels"]
    assert learned["clean"] > learned["wrong"] + 0.2


def test_what_callbacks_record_is_in_the_curves(probe):
    curves = probe.curves_
    assert (curves["own_score"] == 10 * curves["epoch"]).all()
    assert not {"train_loss", "duration", "learning_rate"} & set(curves)
    assert len(curves) == 2 * 2 * 6
    assert not np.isnan(curves["own_score"]).any()
