"""scikit-learn's own checks, for every classifier of the package."""

from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier


class MLP(nn.Sequential):
    """A user's own module."""

    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_classes))


REASON = (
    "minibatches of float32: a row of weight 2 takes part in one batch, two rows in "
    "two, and sums round otherwise; scikit-learn expects the same failure of its "
    "SGDClassifier and MLPClassifier"
)


def expected_failed_checks(estimator):
    """Name the checks that cannot pass, with the reason."""
    failures = {"check_sample_weight_equivalence_on_dense_data": REASON}
    if isinstance(estimator, WideDeepClassifier):
        failures["check_sample_weight_equivalence_on_sparse_data"] = REASON
    return failures


@parametrize_with_checks(
    [WideDeepClassifier(), NetClassifier(MLP)],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
