"""scikit-learn's own checks, for every estimator of the package."""

from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sklearn_memgen import (
    NetClassifier,
    NoisyFineTuneProbe,
    WideDeepClassifier,
    WideDeepRegressor,
)


class MLP(nn.Sequential):
    """A user's own module."""

    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_classes))


# The perceptrons are not the point; more and larger ones take three times as long.
SMALL = {"hidden_layer_sizes": (32,), "n_members": 2}
REASON = (
    "minibatches of float32: a row of weight 2 takes part in one batch, two rows in "
    "two, and sums round otherwise; scikit-learn expects the same failure of its "
    "SGDClassifier and MLPClassifier"
)


def expected_failed_checks(estimator):
    """Name the checks that cannot pass, with the reason."""
    checks = {
        WideDeepClassifier: ("dense", "sparse"),
        WideDeepRegressor: ("sparse",),
        NetClassifier: ("dense",),
        NoisyFineTuneProbe: ("dense", "sparse"),
    }[type(estimator)]
    return {f"check_sample_weight_equivalence_on_{c}_data": REASON for c in checks}


@parametrize_with_checks(
    [
        WideDeepClassifier(**SMALL),
        WideDeepRegressor(**SMALL),
        NetClassifier(MLP),
        NoisyFineTuneProbe(noise_levels=(0.0, 0.3), max_epochs=8),
    ],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
