"""Look for patterns that are found otherwise than by `re`.

Draws patterns of all that the syntax of `re` has, with short texts of characters that
are hard to get right, and, by turns, patterns as in rules for products, with long texts
made of the same few words and numbers: engines take other ways for these. Compares what
the rules' matcher finds with what `re.search` finds, one by one. Prints each
disagreement, and how many pairs were compared.

    python benchmarks/rules_fuzz.py [--minutes 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import time
import warnings
from collections import Counter
from typing import Any, NoReturn

import numpy as np

from sklearn_memgen.rules.databases import Pattern, try_pattern
from sklearn_memgen.rules.matching import Matcher

#: Cases of several lengths (ß, ſ, K, İ), a combining mark, spaces that only Python
#: takes for such, a digit of another script, CJK, an emoji, NUL and a lone surrogate.
CHARACTERS = "ab _-\nüßſKkK\u0130\u0301\x1c7\u0663漢😀\0\ud800.sS"
#: So many letters that they do not fit into bytes.
MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 200)))
REPEATS = ["*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{0,2}", "{2,}", "{,2}"]
CLASSES = [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", "."]
ANCHORS = [r"\b", r"\b", r"\b", r"\B", "^", "$", r"\A", r"\Z", "(?m:^)", "(?m:$)"]
ITEMS = [*CLASSES[:-1], "a-k", "ü-漢", "A-Z", r"\0-\x20"]
#: What titles are made of, and what patterns for them are made of, beside these.
WORDS = ["fridge", "ring", "spin", "kg", "rpm", "gb", "core", "aeg", "größe", "xx"]
WORDS += ["3", "7", "30", "300", "0300", "1400", "a", "s"]
GAPS = [".*", ".*", " ", " ?", r"\s*", "[^0-9]*", ".{0,9}", r"\W+", "s? "]
NUMBERS = [
    r"\d+",
    r"\d{3,4}",
    "[0-9]*",
    "[03]+",
    "0{2,3}",
    "[03kg]{2,3}",
    r"\d(\.\d+)?",
]
N_TEXTS = 60


def draw_pattern(rng: random.Random, characters: str, depth: int = 3) -> str:
    """Draw a pattern; one that begins with a flag has it as a whole."""
    parts = []
    for _ in range(rng.randint(0, 4)):
        part = draw_part(rng, characters, depth)
        if rng.random() < 0.35:
            part = f"(?:{part}){rng.choice(REPEATS)}"
        parts.append(part)
    return "".join(parts)


def draw_part(rng: random.Random, characters: str, depth: int) -> str:
    """Draw a character, a set of them, an anchor or a group."""
    choice = rng.random()
    if choice < 0.35:
        return re.escape(rng.choice(characters))
    if choice < 0.45:
        return rng.choice(CLASSES)
    if choice < 0.6:
        return rng.choice(ANCHORS)
    if choice < 0.7 or not depth:
        items = [re.escape(rng.choice(characters)), *rng.choices(ITEMS, k=2)]
        return f"[{rng.choice(['', '^'])}{''.join(items[: rng.randint(1, 3)])}]"
    inner = draw_pattern(rng, characters, depth - 1)
    if choice < 0.85:
        more = [draw_pattern(rng, characters, depth - 1) for _ in range(2)]
        return f"({'|'.join([inner, *more][: rng.randint(1, 3)])})"
    return f"(?{rng.choice(['i', 's', 'm', '-i', 'is', 'ims'])}:{inner})"


def draw_title_pattern(rng: random.Random, depth: int = 1) -> str:
    """Draw a pattern of words and numbers, with gaps between them."""
    parts = []
    for i in range(rng.randint(1, 4)):
        if i:
            parts.append(rng.choice(GAPS))
        if rng.random() < 0.35:
            parts.append(r"\b")
        choice = rng.random()
        if choice < 0.4:
            parts.append(rng.choice(WORDS))
        elif choice < 0.7:
            parts.append(rng.choice(NUMBERS))
        elif choice < 0.9 or not depth:
            parts.append(f"({'|'.join(rng.sample(WORDS, rng.randint(2, 4)))})")
        else:
            several = [draw_title_pattern(rng, depth - 1) for _ in range(2)]
            parts.append(f"({'|'.join(several)}){rng.choice(['', '', '?', '+'])}")
        parts.append(rng.choice(["", "", r"\b", "s?", r"s?\b", "(s|es)?"]))
    return "".join(parts)


def draw_title(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(3, 25))]
    return "".join(
        word + rng.choice([" ", " ", " ", "", "s ", "\n", "-"]) for word in words
    )


def draw_text(rng: random.Random, characters: str) -> str:
    return "".join(rng.choices(characters, k=rng.randint(0, 8)))


def search_all(pattern: re.Pattern[str], texts: list[str]) -> list[bool] | None:
    """Return in which texts `re` finds a pattern; None if that takes seconds."""
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        return [pattern.search(text) is not None for text in texts]
    except TimeoutError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def give_up(*args: Any) -> NoReturn:
    raise TimeoutError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of syntax that may change its meaning
    signal.signal(signal.SIGALRM, give_up)
    rng = random.Random(args.seed)
    end = time.monotonic() + 60 * args.minutes
    n_pairs = n_patterns = n_wrong = n_hanging = 0
    refused: Counter[str] = Counter()
    while time.monotonic() < end:
        characters = CHARACTERS if rng.random() < 0.8 else CHARACTERS + MANY
        titles = rng.random() < 0.5
        compiled: dict[Pattern, re.Pattern[str]] = {}
        n_together = rng.choice([1, 5, 40, 300])
        while len(compiled) < n_together:
            flag = rng.choice(["", "", "(?i)", "(?s)", "(?m)", "(?a)", "(?ai)"])
            drawn = draw_title_pattern(rng) if titles else draw_pattern(rng, characters)
            text = flag + drawn
            if len(text) > 150:
                continue
            literal = rng.random() < 0.05
            pattern = Pattern(text, rng.random() < 0.7, literal)
            try:
                flags = re.NOFLAG if pattern.case else re.IGNORECASE
                peer = re.compile(re.escape(text) if literal else text, flags)
            except re.error:
                continue
            try:
                try_pattern(pattern)
            except ValueError as error:
                refused[str(error).rsplit(": ", 1)[-1]] += 1
                continue
            compiled[pattern] = peer
        patterns = list(compiled)
        texts = ["", "\n", "a\n"]
        texts += [
            draw_title(rng) if titles else draw_text(rng, characters)
            for _ in range(N_TEXTS)
        ]
        found = Matcher().find(patterns, texts).toarray()
        for j, pattern in enumerate(patterns):
            expected = search_all(compiled[pattern], texts)
            if expected is None:
                n_hanging += 1
                continue
            n_pairs += len(texts)
            for i in np.flatnonzero(found[:, j] != expected):
                n_wrong += 1
                print(f"found: {found[i, j]}, {pattern!a}, {texts[i]!a}", flush=True)
        n_patterns += len(patterns)
    print(f"{n_patterns:,} patterns, {n_pairs:,} pairs, {n_wrong} disagreements")
    print(f"left out, as `re` takes seconds for them: {n_hanging}")
    for reason, count in refused.most_common():
        print(f"refused {count} times: {reason}")


if __name__ == "__main__":
    main()
