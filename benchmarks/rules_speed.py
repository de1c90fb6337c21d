"""Matching rules: many patterns over many titles, beside what others would do.

Draws product titles, and patterns as analysts write them: words with optional plurals,
alternatives and word boundaries, 15,000 without gaps and 5,000 with gaps (``.*``).
Times compiling, compiling from the cache, and matching at several numbers of rules;
then peers, each on a sample of the patterns, extrapolated in proportion to their
number. Times are processor seconds of one thread, so that other jobs do not count;
those of matching are medians. What is matched is checked against `re` on the sample.

    python benchmarks/rules_speed.py [--titles 20000] [--sample 100] [--turns 5]
"""

from __future__ import annotations

import argparse
import copy
import importlib
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.rules.databases import compile_patterns

SYLLABLES = ["ba", "ro", "ti", "ka", "len", "mor", "sit", "du", "ver", "pla", "no"]
SYLLABLES += ["gri", "sha", "tor", "quin", "el", "fo", "zen", "mi"]
N_WORDS = 8_000
SIZES = (1_000, 5_000, 20_000)


def draw_words(rng: np.random.Generator) -> Callable[[int], list[str]]:
    """Return a function that draws so many words; few are frequent, most are rare."""
    drawn = {"".join(rng.choice(SYLLABLES, rng.integers(2, 5))) for _ in range(15_000)}
    words = rng.permutation(sorted(drawn))[:N_WORDS]
    shares = 1 / np.arange(1, len(words) + 1) ** 0.8
    return lambda n: rng.choice(words, n, p=shares / shares.sum()).tolist()


def draw_titles(rng: np.random.Generator, n: int, draw: Any) -> list[str]:
    return [
        " ".join(w + "s" * int(rng.random() < 0.2) for w in draw(rng.integers(4, 14)))
        for _ in range(n)
    ]


def draw_patterns(rng: np.random.Generator, n: int, draw: Any) -> list[str]:
    """Return distinct patterns, a quarter of them with gaps, in random order."""
    plain: set[str] = set()
    gaps: set[str] = set()
    while len(plain) < n - n // 4:
        a, b, c = draw(3)
        forms = [rf"\b{a}s?\b", rf"\b({a}|{b}) {c}s?\b", rf"\b{a} {b}(s|es)?\b"]
        plain.add(forms[rng.integers(3)])
    while len(gaps) < n // 4:
        a, b, c, d = draw(4)
        forms = [rf"{a}.*{b}s?", rf"\b({a}|{b}|{c})\b.*\b{d}s?\b"]
        gaps.add(forms[rng.integers(2)])
    return rng.permutation(sorted(plain | gaps)).tolist()


def seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def make_rules(patterns: list[str]) -> RuleSet:
    title = col("title")
    return RuleSet(
        [
            Rule(title.matches(p), f"class {i % 500}", id=f"r{i:05}")
            for i, p in enumerate(patterns)
        ]
    )


def search_all(searches: list[Callable[[str], Any]], titles: list[str]) -> np.ndarray:
    return np.array([[s(t) is not None for s in searches] for t in titles])


def peers(patterns: list[str], titles: list[str]) -> dict[str, Callable[[], Any]]:
    """Return what is timed of each peer: all patterns, over all titles."""
    compiled = [re.compile(p).search for p in patterns]
    column = pd.Series(titles)
    # The fewest seconds pandas takes: its own strings, and no warning about groups.
    plain = [re.sub(r"\((?!\?)", "(?:", p) for p in patterns]
    timed = {
        "re, one by one": lambda: search_all(compiled, titles),
        "pandas str.contains": lambda: [column.str.contains(p) for p in plain],
    }
    re2 = load("re2")
    if re2 is not None:
        searches = [re2.compile(p).search for p in patterns]
        timed["google-re2, one by one"] = lambda: search_all(searches, titles)
    return timed


def re2_set_seconds(patterns: list[str], titles: list[str]) -> float | None:
    """Return the seconds of a title, all patterns in one Set of google-re2."""
    re2 = load("re2")
    if re2 is None:
        return None
    options = re2.Options()
    options.max_mem = 2**30  # with the 8 MB that are the default it cannot be compiled
    together = re2.Set.SearchSet(options)
    for p in patterns:
        together.Add(p)
    together.Compile()
    return seconds(lambda: [together.Match(t) for t in titles]) / len(titles)


def spacy_seconds(patterns: list[str], titles: list[str]) -> tuple[float, int] | None:
    """Return the seconds of spaCy's Matcher, and for how many of the patterns.

    Those with gaps inside of words have no form in tokens. Splitting titles into tokens
    is not counted.
    """
    spacy = load("spacy")
    if spacy is None:
        return None
    nlp = spacy.blank("en")
    matcher = spacy.matcher.Matcher(nlp.vocab)
    n_expressed = 0
    for i, pattern in enumerate(patterns):
        if not pattern.startswith(r"\b"):
            continue
        tokens: list[dict[str, Any]] = []
        for part in re.split(r" |\\b(\.\*)\\b", pattern[2:-2]):
            if part == ".*":
                tokens.append({"OP": "*"})
            elif part:
                tokens.append({"TEXT": {"IN": expand(part)}})
        matcher.add(str(i), [tokens])
        n_expressed += 1
    docs = [nlp.make_doc(title) for title in titles]
    return seconds(lambda: [matcher(doc) for doc in docs]), n_expressed


def expand(part: str) -> list[str]:
    """Return the words that a part of a pattern stands for."""
    found = re.fullmatch(r"\(?([a-z|]+?)\)?(s\?|\(s\|es\)\?)?", part)
    assert found is not None, part
    ends = {None: [""], "s?": ["", "s"], "(s|es)?": ["", "s", "es"]}[found[2]]
    return [word + end for word in found[1].split("|") for end in ends]


def load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--titles", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    draw = draw_words(rng)
    titles = draw_titles(rng, args.titles, draw)
    patterns = draw_patterns(rng, max(SIZES), draw)
    X = pd.DataFrame({"title": titles})
    sample = patterns[: args.sample]
    print(
        f"{len(titles):,} titles of {np.mean([*map(len, titles)]):.0f} characters, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.processor() or platform.machine()}"
    )
    timed = peers(sample, titles)
    per_pattern = {name: seconds(call) / len(sample) for name, call in timed.items()}
    print(
        f"\n{'rules':>7}{'read':>8}{'compile':>9}{'cached':>8}{'match':>8}{'re':>9}",
        end="",
    )
    print(f"{'ratio':>8}{'hits':>10}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKLEARN_MEMGEN_CACHE"] = folder
        for size in SIZES:
            rules: Any = None

            def read() -> None:
                nonlocal rules
                rules = make_rules(patterns[:size])  # noqa: B023

            reading = seconds(read)
            fresh = copy.deepcopy(rules)
            first = seconds(lambda: rules.match(X))  # noqa: B023
            matching = median(
                seconds(lambda: rules.match(X))  # noqa: B023
                for _ in range(args.turns)
            )
            compile_patterns.cache_clear()
            cached = seconds(lambda: fresh.match(X[:1]))  # noqa: B023
            loop = per_pattern["re, one by one"] * size
            matched = rules.match(X)
            print(
                f"{size:>7,}{reading:>7.2f}s{first - matching:>8.2f}s{cached:>7.2f}s"
                f"{matching:>7.3f}s{loop:>8.1f}s{loop / matching:>8.0f}"
                f"{matched.nnz:>10,}",
                flush=True,
            )
        expected = timed["re, one by one"]()
        same = (matched[:, : len(sample)].toarray() == expected).all()
        print(f"\nthe same as re on {len(sample)} patterns: {same}")
        added = []
        for i in range(10):
            rules.add(
                Rule(col("title").matches(rf"\bnew{i} wor[dt]s?\b"), "x", id=f"z{i}")
            )
            started = time.perf_counter()
            rules.match(X[:100])
            added.append(time.perf_counter() - started)
        print(
            f"after a rule more, 100 rows: median {median(added):.3f} s, "
            f"at most {max(added):.3f} s (by the clock)"
        )
        print(f"a copy of the set: {seconds(lambda: copy.deepcopy(rules)):.4f} s")
    print(f"\n{'peer':<32}{'20,000 rules':>13}{'ratio':>8}")
    for name, each in per_pattern.items():
        print(
            f"{name:<32}{each * max(SIZES):>12.1f}s{each * max(SIZES) / matching:>8.0f}"
        )
    of_title = re2_set_seconds(patterns, titles[:500])
    if of_title is not None:
        all_titles = of_title * len(titles)
        name = "google-re2, one Set, 500 titles"
        print(f"{name:<32}{all_titles:>12.1f}s{all_titles / matching:>8.0f}")
    by_tokens = spacy_seconds(sample, titles)
    if by_tokens is not None:
        each = by_tokens[0] / by_tokens[1]
        name = f"spaCy's Matcher, {by_tokens[1]} of {len(sample)}"
        print(
            f"{name:<32}{each * max(SIZES):>12.1f}s{each * max(SIZES) / matching:>8.0f}"
        )


if __name__ == "__main__":
    main()
