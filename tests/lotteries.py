"""Small lotteries for tests."""

from sklearn_memgen import LotteryPrunedNet, NetClassifier
from tests.probes import MLP


def small_lottery(**params):
    defaults = {
        "estimator": NetClassifier(MLP),
        "n_rounds": 2,
        "max_epochs": 4,
        "random_state": 0,
    }
    return LotteryPrunedNet(**(defaults | params))


def is_sparse(model):
    return all(
        (model.net_.module_.get_parameter(name)[~mask] == 0).all()
        for name, mask in model.ticket_.masks.items()
    )
