"""The matcher finds what `re` finds, compiles little, and keeps what it compiled."""

import copy
import itertools
import pickle
import re
import sys
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.base import clone

from sklearn_memgen.rules import Rule, RuleSet, col, parse_condition
from sklearn_memgen.rules import databases as databases_module
from sklearn_memgen.rules.databases import (
    Pattern,
    PatternError,
    compile_patterns,
    try_pattern,
)
from sklearn_memgen.rules.matching import Matcher, PatternGroup

title = col("title")


def brute_force(patterns, texts):
    found = np.zeros((len(texts), len(patterns)), dtype=bool)
    for j, (text, case, literal) in enumerate(patterns):
        flags = re.NOFLAG if case else re.IGNORECASE
        search = re.compile(re.escape(text) if literal else text, flags).search
        found[:, j] = [search(text) is not None for text in texts]
    return found


def find(patterns, texts):
    return Matcher().find(patterns, texts).toarray()


# What is found

characters = st.sampled_from("ab1 _-\nüßſKk\u212aİ\u0301\x1c\u0663漢😀\0\ud800S")
pieces = st.one_of(
    characters.map(re.escape),
    st.sampled_from(
        [
            *[".", r"\w", r"\W", r"\d", r"\s", r"\S", "[a-k]", r"[^\Wb]", "(?i:s)"],
            *[r"\b", r"\b", r"\B", "^", "$", r"\A", r"\Z", "(?m:^)", "(?m:$)"],
        ]
    ),
)


def extend(inner):
    several = st.lists(inner, max_size=4).map("".join)
    repeat = st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{2,}", "{,2}"])
    return st.one_of(
        several,
        st.builds("(?:{}){}".format, several, repeat),
        st.lists(several, min_size=2, max_size=3).map(lambda p: f"({'|'.join(p)})"),
    )


@st.composite
def matchable(draw):
    flags = draw(st.sampled_from(["", "", "(?i)", "(?s)", "(?m)", "(?a)"]))
    pattern = Pattern(flags + draw(st.recursive(pieces, extend)), draw(st.booleans()))
    try:
        try_pattern(pattern)
    except ValueError:
        return Pattern("a")
    return pattern


@settings(deadline=None, max_examples=40)
@given(
    patterns=st.lists(matchable(), min_size=1, max_size=8, unique=True),
    texts=st.lists(st.text(characters, max_size=8), max_size=20),
)
def test_the_matcher_finds_what_re_finds(patterns, texts):
    np.testing.assert_array_equal(
        find(patterns, texts), brute_force(patterns, texts), err_msg=ascii(patterns)
    )


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("rings?$", "ring\n"),
        (r"ring\Z", "ring\n"),
        (r"\bmüsli\b", "das müsli"),
        (r"\bm", "üm"),
        (r"(?a)\bm", "üm"),
        ("(?i)strasse", "ſtraSSe"),
        ("(?i)k", "\u212a"),
        (r"a\sb", "a\x1cb"),
        (r"\d", "\u0663"),
        (r"\ud800", "a\ud800"),
        ("\0", "a\0"),
        (r"(?x) a  b # comment", "ab"),
        (r"(?P<name>a)b", "ab"),
        (r"\B", ""),
        (r"\B", "\n"),
        (r"\b.*\b", "a"),
        (r"a\b.*\b-", "a-"),
        (r"(?m)^b$", "a\nb\nc"),
        (r"(?:\b|x)+a", "xa"),
        (r"(?:a\b ?)+c", "a a c"),
        (r"x*^a", "a"),
        (r"[^\n]*\n.", "a\nb"),
        (r"a{2,3}?b", "aab"),
        (r"(|a)+b", "b"),
    ],
)
def test_what_is_easily_got_wrong(pattern, text):
    texts = [text, f"x{text}", f"{text}x", text.upper(), text[:-1], ""]
    patterns = [Pattern(pattern), Pattern(pattern, False)]
    np.testing.assert_array_equal(find(patterns, texts), brute_force(patterns, texts))


def test_many_letters_do_not_fit_into_bytes():
    letters = [chr(0x4E00 + i) for i in range(400)]
    patterns = [Pattern(rf"\b{a}.*{b}") for a, b in itertools.pairwise(letters)]
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice([*letters, " "], 60)) for _ in range(200)]
    expected = brute_force(patterns, texts)
    assert expected.sum() > 20
    np.testing.assert_array_equal(find(patterns, texts), expected)


def test_blocks_of_texts_and_of_hits(monkeypatch):
    patterns = [Pattern("a"), Pattern(r"\bb"), Pattern("c$")]
    texts = ["ab c", "b", "", "\n", "c", "a\nb"] * 7
    expected = brute_force(patterns, texts)
    monkeypatch.setattr(databases_module, "_BLOCK_OF_CHARACTERS", 5)
    monkeypatch.setattr(databases_module, "_BLOCK_OF_HITS", 2)
    found = Matcher().find(patterns, texts)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_canonical_format


def test_processes_find_the_same():
    patterns = [Pattern("ring"), Pattern("gold$")]
    texts = ["ring gold", "a\nring", "x"] * 5
    expected = brute_force(patterns, texts)
    with parallel_config(backend="threading"):
        found = Matcher().find(patterns, texts, n_jobs=2)
    np.testing.assert_array_equal(found.toarray(), expected)
    # What is sent to another process arrives.
    group = PatternGroup(tuple(patterns))
    group.prepare(texts)
    sent = pickle.loads(pickle.dumps(group))
    np.testing.assert_array_equal(sent.find(texts).toarray(), expected)
    assert Matcher().find(patterns, [], n_jobs=2).shape == (0, 2)
    assert Matcher().find([], texts).shape == (15, 0)


# What is compiled


def test_a_new_pattern_is_compiled_alone(monkeypatch):
    compiled = []

    def count(patterns, **options):
        compiled.append(len(patterns))
        return compile_patterns(patterns, **options)

    monkeypatch.setattr("sklearn_memgen.rules.matching.compile_patterns", count)
    words = [f"word{i}" for i in range(400)]
    rules = RuleSet([Rule(title.matches(w), "a", id=w) for w in words])
    X = pd.DataFrame({"title": [f"{w} and more" for w in words]})
    expected = rules.match(X)
    assert compiled == [400]
    other = copy.deepcopy(rules)
    rules.add(Rule(title.matches("mor[e]"), "a", id="zz"))
    matched = rules.match(X)
    assert compiled == [400, 1]
    assert matched[:, -1].sum() == 400 and (matched[:, :-1] != expected).nnz == 0
    rules.add(Rule(title.matches("an[d]"), "a", id="zzz"))
    rules.disable("word7")
    assert rules.match(X)[:, rules.ids.index("word7")].nnz == 0
    assert compiled == [400, 1, 2]
    # A copy has its own rules, but what was compiled is shared.
    assert (other.match(X) != expected).nnz == 0 and compiled == [400, 1, 2]


def test_groups_are_put_together_when_they_are_many(monkeypatch):
    monkeypatch.setattr("sklearn_memgen.rules.matching._SMALL", 2)
    matcher, patterns = Matcher(), []
    for i in range(60):
        patterns.append(Pattern(f"word{i}x"))
        found = matcher.find(patterns, [f"word{i}x", "word0x"])
        assert found.shape == (2, i + 1) and found[0, i] and found[1, 0]
        assert len(matcher.groups) <= 8
    matcher.find(patterns[:5], ["a"])
    assert sum(len(group.patterns) for group in matcher.groups) == 60
    # What has not been asked for is left out when there is something to compile.
    matcher.find([*patterns[:5], Pattern("new")], ["a"])
    assert sum(len(group.patterns) for group in matcher.groups) == 6


@pytest.fixture(scope="module")
def many_rules():
    rules = RuleSet(
        [Rule(title.contains(f"w{i} "), "a", id=f"r{i}") for i in range(20_000)]
    )
    rules.match(pd.DataFrame({"title": ["w1 w2 "]}))
    return rules


def test_copies_and_pickles_of_large_sets_are_quick(many_rules):
    rules = many_rules
    started = time.perf_counter()
    copies = [copy.deepcopy(rules), copy.copy(rules), clone(rules, safe=False)]
    assert time.perf_counter() - started < 0.5
    for other in copies:
        assert other == rules and other.version == rules.version
        other.add(Rule(title.isna(), "b", id="more"))
        assert "more" not in rules
    again = pickle.loads(pickle.dumps(rules))
    assert again == rules and again._matchers == {}


def test_single_conditions_never_become_dense(many_rules):
    """Twenty thousand rules by as many rows would be 400 MB of booleans."""
    X = pd.DataFrame({"title": [f"w{i} " for i in range(20_000)]})
    tracemalloc.start()
    matched = many_rules.match(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert matched.nnz == 20_000 and peak < 100e6


def test_a_category_is_looked_at_once(monkeypatch):
    scanned = []
    find = databases_module.Database.find
    monkeypatch.setattr(
        databases_module.Database,
        "find",
        lambda self, texts: scanned.extend(texts) or find(self, texts),
    )
    values = pd.Categorical(["gold ring", None, "bangle", "gold ring"] * 500)
    matched = RuleSet([Rule(title.matches("rings?"), "a")]).match(
        pd.DataFrame({"title": values})
    )
    assert sorted(scanned) == ["bangle", "gold ring"]
    assert matched.nnz == 1_000 and matched[0, 0] and not matched[1, 0]


# What cannot be done


def test_a_pattern_that_cannot_be_compiled_is_named(tmp_path, monkeypatch):
    path = tmp_path / "rules.csv"
    path.write_text(
        'id,when,then\nr1,"title.matches(""(?=a)"")",a\nr2,"title.matches(""b"")",a\n'
    )
    with pytest.raises(ValueError, match=r"line 2, rule 'r1': bad pattern '\(\?=a\)'"):
        RuleSet.from_csv(path)
    # What the engine alone finds wrong is told when it compiles.
    monkeypatch.setattr(
        "sklearn_memgen.rules.patterns.try_pattern", lambda pattern: None
    )
    hard = r"(?m)\s^never seen before"
    rules = RuleSet([Rule(title.matches(f"a{i}"), "a", id=f"r{i}") for i in range(50)])
    rules.add(Rule(title.matches(hard) & (col("n") > 1), "a", id="hard"))
    X = pd.DataFrame({"title": ["a1", "a\nb"], "n": 1})
    with pytest.raises(ValueError, match="^rule 'hard': bad pattern .*end of a line"):
        rules.match(X)


def test_the_engine_may_refuse_one_among_many(monkeypatch):
    def write(pattern, tree, translator):
        return ["a{1,99999}" if pattern.text == "w17" else pattern.text]

    monkeypatch.setattr(databases_module, "_translate", write)
    with pytest.raises(PatternError, match="'w17': the engine says: Bounded") as caught:
        compile_patterns(tuple(Pattern(f"w{i}") for i in range(40)))
    assert pickle.loads(pickle.dumps(caught.value)).patterns == (Pattern("w17"),)


def test_patterns_too_long_in_company_are_compiled_alone(monkeypatch):
    translate = databases_module._translate

    def refuse(pattern, tree, translator):
        if pattern.text == "odd" and translator.alphabet.n_symbols > 140:
            raise PatternError("too long", (pattern,))
        return translate(pattern, tree, translator)

    monkeypatch.setattr(databases_module, "_translate", refuse)
    patterns = [Pattern("odd"), *(Pattern(chr(0x4E00 + i)) for i in range(20))]
    matcher = Matcher()
    found = matcher.find(patterns, ["odd", chr(0x4E00)])
    assert found.nnz == 2 and found[0, 0] and found[1, 1]
    assert [len(group.patterns) for group in matcher.groups] == [20, 1]


def test_without_the_extra_all_but_patterns_works(monkeypatch):
    X = pd.DataFrame({"title": ["gold ring", "bangle", None], "price": [1, 2, 3]})
    whens = [title.contains("ring"), (col("price") > 1) & ~title.contains("x")]
    many = [title.contains(str(i)) for i in range(100)]
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    monkeypatch.setitem(sys.modules, "regex", None)
    matched = RuleSet([Rule(w, "a", id=f"{i:03}") for i, w in enumerate(whens + many)])
    assert matched.match(X).toarray()[:, :2].tolist() == [[1, 0], [0, 1], [0, 0]]
    for when in (title.matches("ring"), title.contains("RING", case=False)):
        with pytest.raises(
            ImportError, match=r"^pat.*pip install 'sklearn-memgen\[rules"
        ):
            when.evaluate(X)
        with pytest.raises(
            ImportError, match="^rule 'r1': patterns are matched by hyper"
        ):
            RuleSet([Rule(when, "a", id="r1")]).match(X)
    with pytest.raises(ImportError, match="matched by regex, which is not installed"):
        title.matches("(?<=d )ring", timeout=1).evaluate(X)


# Slow patterns, if they are allowed


def test_a_time_limit_allows_what_takes_longer():
    X = pd.DataFrame({"title": ["gold ring", "silver ring", None]})
    condition = title.matches(r"(?<=gold )rings?", timeout=0.5)
    assert condition.evaluate(X).tolist() == [True, False, False]
    assert (~condition).evaluate(X).tolist() == [False, True, False]
    text = 'title.matches("(?<=gold )rings?", timeout=0.5)'
    assert str(condition) == text and parse_condition(text) == condition
    assert condition != title.matches(r"(?<=gold )rings?", timeout=0.7)
    assert pickle.loads(pickle.dumps(condition)) == condition
    # What takes linear time anyhow is found with all other patterns.
    assert title.matches("rings?", timeout=0.5).pattern == Pattern("rings?")


def test_a_pattern_that_takes_too_long_is_named():
    hang = title.matches(r"(?=(a+)+$)", timeout=0.05)
    X = pd.DataFrame({"title": ["ok", "a" * 5_000 + "b"]})
    with pytest.raises(TimeoutError, match=r"^rule 'slow': the pattern .* row 1.*'aaa"):
        RuleSet([Rule(hang, "a", id="slow")]).match(X)


@pytest.mark.parametrize("timeout", [0, -1, 1000, float("nan"), "1", True])
def test_wrong_timeouts(timeout):
    with pytest.raises((TypeError, ValueError), match="timeout|finite"):
        title.matches("a", timeout=timeout)


def test_ctrl_c_interrupts_a_search(monkeypatch):
    database = compile_patterns((Pattern("a"),))
    scan, _ = database._open()
    calls = []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return scan(*args, **options)

    monkeypatch.setattr(database._local, "scan", interrupted)
    with pytest.raises(KeyboardInterrupt):
        database.find(["a"] * 10)
    monkeypatch.undo()
    assert database.find(["a"] * 10).nnz == 10
