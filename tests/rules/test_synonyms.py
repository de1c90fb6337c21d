r"""True synonyms come before other words, and decisions improve the order."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sklearn_memgen.rules.synonyms import expand_pattern

PATTERN = r"(motor|engine|\syn) oils?"
TRUE = ["car", "gearbox", "two stroke", "diesel truck", "hydraulic", "atv"]
FAKE = ["olive", "coconut", "hair", "argan massage", "lamp", "sun flower", "fish"]
WORKSHOP = ["castrol", "shell", "5w30", "synthetic", "can", "viscosity", "sae"]
GARDEN = ["mower", "chainsaw", "blade", "hedge", "trimmer", "tank", "husqvarna"]
KITCHEN = ["organic", "bottle", "virgin", "skin", "kitchen", "pure", "gift"]


def make_titles(n_titles, seed=0, garden=()):
    """Titles in which true synonyms stand among words like those of the known.

    Of every ten words around a name two are from the titles of the others. The
    names in `garden` stand among words of their own.
    """
    rng = np.random.default_rng(seed)
    titles = []
    for _ in range(n_titles):
        true = rng.random() < 0.5
        name = str(rng.choice(["motor", "engine", *TRUE] if true else FAKE))
        own, other = (WORKSHOP, KITCHEN) if true else (KITCHEN, WORKSHOP)
        own = GARDEN if name in garden else own
        words = [
            str(rng.choice(other if rng.random() < 0.2 else own)) for _ in "123456"
        ]
        titles.append(" ".join([*words[:3], name, "oil", *words[3:]]))
    return pd.Series(titles)


def rank_quality(expansion, leave_out=()):
    """Area under the curve of the true candidates against the fakes."""
    table = expansion.to_frame().set_index("candidate")["score"]
    table = table[[c for c in TRUE + FAKE if c in table and c not in leave_out]]
    return roc_auc_score(table.index.isin(TRUE), table)


@pytest.mark.parametrize("seed", range(3))
def test_true_synonyms_come_first(seed):
    expansion = expand_pattern(PATTERN, make_titles(1000, seed))
    assert rank_quality(expansion) == 1
    table = expansion.next(1000)
    assert table["score"].is_monotonic_decreasing
    assert {*TRUE, *FAKE} <= set(table["candidate"])


@pytest.mark.parametrize("seed", range(3))
def test_feedback_improves_the_order(seed):
    """Where some synonyms stand among other words than the known, one shows more."""
    garden = ["two stroke", "hydraulic", "atv"]
    expansion = expand_pattern(PATTERN, make_titles(1000, seed, garden))
    before = rank_quality(expansion, leave_out=["atv", "lamp"])
    expansion.accept("atv")
    accepted = rank_quality(expansion, leave_out=["atv", "lamp"])
    expansion.reject("lamp")
    after = rank_quality(expansion, leave_out=["atv", "lamp"])
    assert before < 0.7 and after >= accepted > before + 0.2
    assert after > 0.9


def test_scores_are_those_of_the_formula():
    titles = [
        "cheap motor oil here",
        "cheap car oil now",
        "good fish oil here",
        "no lamp oil at all",
    ]
    expansion = expand_pattern(r"(motor|\syn) oil", titles, max_words=1, min_texts=1)
    table = expansion.to_frame().set_index("candidate")
    # One word before and one after: the cosine is 1 where it is the same, else 0.
    assert table["score"].to_dict() == pytest.approx(
        {"car": 0.5, "fish": 0.5, "lamp": 0}
    )
    prefix = expand_pattern(
        r"(motor|\syn) oil", titles, max_words=1, min_texts=1, prefix_weight=1
    )
    assert prefix.to_frame().set_index("candidate")["score"]["car"] == pytest.approx(1)
    # Rocchio: cheap + 0.75 cheap - 0.25 good; here + 0.75 now - 0.25 here.
    expansion = expand_pattern(
        r"(motor|\syn) oil", titles, max_words=1, min_texts=1, gamma=0.25
    )
    scores = expansion.accept("car").reject("fish").to_frame().set_index("candidate")
    car = 0.5 * 1.75 / np.hypot(1.75, 0.25)
    # "here" stands in two contexts and weighs less than "now", which it is alone with.
    assert scores["score"]["car"] > car > scores["score"]["fish"]
    assert scores["score"]["lamp"] == 0


def test_the_pattern_takes_what_is_accepted():
    titles = make_titles(500)
    expansion = expand_pattern(PATTERN, titles)
    assert expansion.pattern == "(motor|engine) oils?"
    expansion.accept("two stroke", "  car ")
    assert expansion.pattern == r"(motor|engine|two\s+stroke|car) oils?"
    assert re.search(expansion.pattern, "a two  stroke oil")
    assert "2 accepted, 0 rejected" in repr(expansion)
    expansion.reject("car")
    assert expansion.accepted == ["two stroke"] and expansion.rejected == ["car"]
    assert expansion.pattern == r"(motor|engine|two\s+stroke) oils?"


def test_what_is_decided_is_not_shown_again():
    expansion = expand_pattern(PATTERN, make_titles(500))
    seen = set()
    for _ in range(6):
        table = expansion.next(5)
        assert not seen & set(table["candidate"]) and len(table) == 5
        seen |= set(table["candidate"])
        expansion.reject(*table["candidate"])
    table = expansion.to_frame()
    assert (table["decision"] == "rejected").sum() == 30
    # "synthetic car" is found by "car oil" as well.
    car = table["candidate"].str.endswith(" car")
    assert car.any() and (table["decision"][car] != "covered").all()
    table = expansion.accept("car").to_frame()
    car = table["candidate"].str.endswith(" car") & (table["decision"] != "rejected")
    assert car.any() and (table["decision"][car] == "covered").all()


def test_the_order_of_decisions_does_not_matter():
    titles = make_titles(300)
    one = expand_pattern(PATTERN, titles).accept("car").reject("hair").accept("atv")
    two = expand_pattern(PATTERN, titles).reject("atv", "hair").accept("atv", "car")
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    assert sorted(one.accepted) == sorted(two.accepted)


@given(
    texts=st.lists(
        st.lists(
            st.sampled_from(
                ["motor", "Car", "two", "oil", "oils", "(x)", "5.5", "oil,"]
            ),
            max_size=8,
        ).map(" ".join),
        max_size=8,
    ),
    case=st.booleans(),
)
@settings(deadline=None, max_examples=50)
@pytest.mark.filterwarnings("ignore:none of:UserWarning")
def test_each_candidate_makes_the_pattern_match_its_texts(texts, case):
    options = {"case": case, "min_texts": 1}
    expansion = expand_pattern(r"(motor|\syn) oils?\b", texts, **options)
    table = expansion.to_frame()
    assert table["candidate"].is_unique
    flags = 0 if case else re.IGNORECASE
    for row in table.itertuples():
        filled = rf"(?<!\w){re.escape(row.candidate)}".replace(r"\ ", r"\s+")
        found = [t for t in texts if re.search(rf"{filled}\s+oils?\b", t, flags)]
        assert 1 <= row.n_texts <= len(found) and row.example in found
        assert 1 <= len(row.candidate.split()) <= 3
        again = expand_pattern(r"(motor|\syn) oils?\b", texts, **options)
        pattern = again.accept(row.candidate).pattern
        assert sum(bool(re.search(pattern, t, flags)) for t in texts) >= row.n_texts


def test_texts_of_any_kind():
    titles = make_titles(200)
    wanted = expand_pattern(PATTERN, titles).to_frame()
    holes = pd.concat([titles, pd.Series([None, np.nan])], ignore_index=True)
    for texts in (
        titles.tolist(),
        titles.to_numpy(),
        iter(titles),
        titles.sample(frac=1, random_state=0).sort_index(),
        holes,
        holes.tolist(),
        holes.astype("string[pyarrow]"),
        holes.astype("category"),
    ):
        pd.testing.assert_frame_equal(expand_pattern(PATTERN, texts).to_frame(), wanted)


def test_upper_and_lower_case():
    titles = ["Castrol Motor Oil", "Castrol Car Oil", "castrol CAR oil", "a fish oil"]
    strict = expand_pattern(r"(Motor|\syn) Oil", titles, max_words=1, min_texts=1)
    assert strict.next()["candidate"].tolist() == ["Car"]
    loose = expand_pattern(
        r"(Motor|\syn) Oil", titles, max_words=1, min_texts=1, case=False
    )
    table = loose.next().set_index("candidate")
    assert table["n_texts"].to_dict() == {"car": 2, "fish": 1}
    assert loose.accept("CAR").pattern == "(Motor|car) Oil"
    # Contexts are alike in any case.
    assert table["score"]["car"] == pytest.approx(0.5)


def test_known_synonyms_that_are_not_there():
    titles = make_titles(500)
    with pytest.warns(UserWarning, match="none of 500 texts has a known synonym"):
        expansion = expand_pattern(r"(nowhere|\syn) oils?", titles)
    table = expansion.to_frame()
    assert (table["score"] == 0).all() and table["n_texts"].is_monotonic_decreasing
    expansion.accept("motor", "engine")
    assert rank_quality(expansion) == 1


def test_nothing_is_found():
    for texts in ([], ["no lamp"], [None], ["motor oil"]):
        expansion = expand_pattern(PATTERN, texts)
        assert expansion.next().empty and expansion.to_frame().empty
        assert list(expansion.next().columns) == [
            "candidate",
            "score",
            "n_texts",
            "example",
        ]
    with pytest.warns(UserWarning, match="none of 2"):
        bare = expand_pattern(PATTERN, ["fish oil", "lamp oil"], min_texts=1)
    assert bare.accept("fish").next()["score"].tolist() == [0]


@pytest.mark.parametrize(
    ("error", "message", "use"),
    [
        (
            TypeError,
            "texts must be strings; got numbers",
            lambda: expand_pattern(PATTERN, [1]),
        ),
        (
            TypeError,
            "got mixed values",
            lambda: expand_pattern(PATTERN, ["a", 1, b"c"]),
        ),
        (
            TypeError,
            "list of strings; got str",
            lambda: expand_pattern(PATTERN, "motor oil"),
        ),
        (TypeError, "got int", lambda: expand_pattern(PATTERN, 5)),
        (ValueError, "one slot", lambda: expand_pattern("oils?", [])),
        (
            ValueError,
            "'max_words' parameter.*Got 0",
            lambda: expand_pattern(PATTERN, [], max_words=0),
        ),
        (
            ValueError,
            "no candidate 'moon'",
            lambda: expand_pattern(PATTERN, make_titles(50)).accept("moon"),
        ),
        (
            TypeError,
            r"candidate is text; got \['car'\].*accept\(\*candidates\)",
            lambda: expand_pattern(PATTERN, make_titles(50)).reject(["car"]),
        ),
    ],
)
def test_wrong_use(error, message, use):
    with pytest.raises(error, match=message):
        use()


def test_a_wrong_candidate_changes_nothing():
    expansion = expand_pattern(PATTERN, make_titles(200))
    with pytest.raises(ValueError, match="moon"):
        expansion.accept("car", "moon")
    assert expansion.accepted == []


@pytest.mark.filterwarnings("ignore:none of:UserWarning")
@pytest.mark.parametrize("piece", ["a-", "a", "a ", " ", "a.a ", "oil "])
def test_long_texts_take_linear_time(piece):
    def seconds(n):
        start = time.perf_counter()
        expand_pattern(PATTERN, [piece * n] * 3)
        return time.perf_counter() - start

    seconds(100)
    # A quadratic search would take a hundred times as long for ten times the text.
    assert seconds(20_000) < 30 * max(seconds(2000), 0.02)


@pytest.fixture
def product_titles(offers):
    return offers["title"], offers["category"]


def test_real_titles_show_kinds_of_freezers(product_titles):
    titles, categories = product_titles
    expansion = expand_pattern(r"(chest|\syn) freezers?", titles)
    assert set(expansion.next(5)["candidate"]) > {"undercounter", "under counter"}
    before = titles.str.contains(r"chest freezers?")
    pattern = expansion.accept("undercounter", "under counter").pattern
    after = titles.str.contains(pattern.replace("(", "(?:"))
    assert after.sum() > before.sum() + 250
    assert (categories[after] == "Freezers").mean() > 0.95
