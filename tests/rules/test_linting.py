"""What lint proves is so, and it finds what is planted."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sklearn_memgen.rules import Rule, RuleSet, col, parse_condition
from sklearn_memgen.rules.implication import implies, split_into_cases


def follows(one, two):
    cases = [split_into_cases(parse_condition(text)) for text in (one, two)]
    return implies(*cases)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("(a < 5) & b.isna()", "a < 5"),
        ("a < 5", "a <= 5"),
        ("a < 5", "a < 9"),
        ("a == 3", "a.between(1, 5)"),
        ("a.isin([1, 2])", "a.isin([1, 2, 3])"),
        ("a.isin([1, 2])", "a < 3"),
        ("a.isin([1, 2, 9]) & (a < 5)", "a != 9"),
        ("a > 5", "a != 5"),
        ("(a > 1) & (a < 3)", "a.between(1, 3)"),
        ('a == "x"', 'a != "y"'),
        ("a < 5", "~a.isna()"),
        ('a.matches("x") & b.isna()', 'a.matches("x") | (b == 1)'),
        ('a.contains("gold ring")', 'a.contains("ring")'),
        ("~a.between(1, 3)", "(a < 1) | (a > 3)"),
        ("~(a < 5)", "a >= 5"),
    ],
)
def test_what_follows(one, two):
    assert follows(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a < 5", "(a < 5) & b.isna()"),
        ("a <= 5", "a < 5"),
        ("a < 5", "b < 5"),
        ("a.between(1, 3)", "a != 3"),
        ('a.contains("ring")', 'a.contains("gold ring")'),
        ('a.contains("RING", case=False)', 'a.contains("RING")'),
        ('a.matches("rings")', 'a.matches("ring")'),  # true, but not looked into
        ("b.isna()", "~a.isna()"),
    ],
)
def test_what_does_not_follow(one, two):
    assert not follows(one, two)


columns, numbers = st.sampled_from("ab"), st.integers(0, 3)
atoms = st.one_of(
    st.builds(lambda c, v: col(c) < v, columns, numbers),
    st.builds(lambda c, v: col(c) >= v, columns, numbers),
    st.builds(lambda c, v: col(c) == v, columns, numbers),
    st.builds(lambda c, v: col(c).isin(v), columns, st.lists(numbers, min_size=1)),
    st.builds(lambda c: col(c).between(1, 2), columns),
    st.builds(lambda c: col(c).isna(), columns),
    st.builds(lambda v: col("t").contains(v), st.sampled_from(["x", "xy", "y"])),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=6,
)
VALUES = [np.nan, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0]
GRID = pd.MultiIndex.from_product(
    [VALUES, VALUES, [None, "x", "y", "xy", "yx"]], names=["a", "b", "t"]
).to_frame(index=False)


@given(one=conditions, two=conditions)
def test_what_is_proven_holds(one, two):
    cases, others = split_into_cases(one), split_into_cases(two)
    assume(cases is not None and others is not None)
    rows = one.evaluate(GRID)
    if not cases:
        assert not rows.any()
    if implies(cases, others):
        assert (two.evaluate(GRID) | ~rows).all()
    # The index by keys loses nothing that the comparison of all pairs finds.
    problems = RuleSet([Rule(one, "c", id="1"), Rule(two, "c", id="2")]).lint()
    found = set(problems["problem"]) & {"duplicate", "subsumed"}
    proven = (implies(cases, others) or implies(others, cases)) and cases and others
    assert bool(found) == bool(proven or one == two)


title, price = col("title"), col("price")
RULES = [
    Rule(title.contains("ring"), "rings", id="a"),
    Rule(title.contains("ring"), "rings", id="b"),
    Rule(title.contains("gold ring"), "rings", id="c"),
    Rule((price < 5) & (price > 9), "rings", id="d"),
    Rule(title.contains("binder"), "rings", "forbid", id="e"),
    Rule(title.contains("binder"), "office", id="f"),
    Rule(~(price >= 5), "cheap", "restrict", id="g"),
    Rule(price < 5, "cheap", "restrict", id="h"),
    Rule(title.contains("zebra"), "animals", id="i"),
]
X = pd.DataFrame({"title": ["gold ring", "ring binder"], "price": [9.0, 1.0]})


def listed(problems):
    return {tuple(row) for row in problems[["rule", "other", "problem"]].to_numpy()}


def test_lint_by_form():
    problems = RuleSet(RULES).lint()
    assert problems.columns.tolist() == ["rule", "other", "problem", "why"]
    assert listed(problems) == {
        ("b", "a", "duplicate"),
        ("c", "a", "subsumed"),
        ("c", "b", "subsumed"),
        ("d", "", "dead"),
        ("h", "g", "duplicate"),
    }
    assert "equivalent" in problems.set_index("rule").loc["h", "why"]
    assert RuleSet().lint().empty


def test_lint_by_rows():
    rules = RuleSet(RULES)
    problems = rules.lint(X)
    assert listed(problems) - listed(rules.lint()) == {
        ("i", "", "dead"),
        ("a", "e", "conflicting"),
        ("b", "e", "conflicting"),
        ("a", "f", "conflicting"),
        ("b", "f", "conflicting"),
        ("a", "g", "conflicting"),
        ("b", "g", "conflicting"),
        ("a", "h", "conflicting"),
        ("b", "h", "conflicting"),
        ("f", "g", "conflicting"),
        ("f", "h", "conflicting"),
    }
    why = problems.set_index(["rule", "other"])["why"]
    assert why["a", "f"] == (
        "different classes, 'rings' and 'office'; 1 row in common, of 2 and 1"
    )
    rules.disable("e")
    assert "e" not in set(rules.lint(X)["other"])


def test_rows_show_what_forms_do_not():
    rules = RuleSet(
        [
            Rule(title.matches("rings?"), "rings", id="a"),
            Rule(title.matches("binder"), "rings", id="b"),
            Rule(price.isin([1, 9]), "rings", "gate", id="c"),
        ]
    )
    assert rules.lint().empty
    assert listed(rules.lint(X)) == {
        ("b", "a", "subsumed"),
        ("a", "c", "subsumed"),
        ("b", "c", "subsumed"),
    }


def test_the_same_condition_says_two_things():
    rules = RuleSet(
        [
            Rule(price < 5, "a", id="1"),
            Rule(price < 5, "b", id="2"),
            Rule(price < 9, "a", "forbid", id="3"),
            Rule(price < 5, 1, id="4"),
            Rule(price < 5, True, id="5"),
        ]
    )
    assert listed(rules.lint()) == {
        (one, two, "conflicting")
        for one, two in ["12", "13", "14", "15", "24", "25", "45"]
    }
