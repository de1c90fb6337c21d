"""Greedy coverage: each pick is the best one, and adds rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_memgen.rules.coverage import cover_greedily

TABLES = st.integers(1, 6).flatmap(
    lambda n_rows: st.lists(
        st.tuples(
            st.lists(st.booleans(), min_size=n_rows, max_size=n_rows),
            st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        ),
        min_size=1,
        max_size=6,
    )
)


@given(TABLES, st.integers(1, 6))
def test_each_pick_is_the_best_of_all(sets, most):
    matched = np.array([rows for rows, _ in sets])
    weights = np.array([weight for _, weight in sets])
    picked, gains = cover_greedily(sparse.csr_array(matched), weights, most)
    covered = np.zeros(matched.shape[1], dtype=bool)
    for place, gain in zip(picked, gains, strict=True):
        worth = (matched & ~covered).sum(axis=1) * weights
        assert place == worth.argmax() and worth[place] > 0
        assert gain == (matched[place] & ~covered).sum()
        covered |= matched[place]
    left = (matched & ~covered).sum(axis=1) * weights
    assert len(picked) == most or not left.any()


def test_nothing_to_cover():
    """Neither a table without rows nor one without sets is an error."""
    for shape in [(0, 5), (3, 0), (3, 4)]:
        picked, gains = cover_greedily(sparse.csr_array(shape), np.ones(shape[0]))
        assert len(picked) == len(gains) == 0
