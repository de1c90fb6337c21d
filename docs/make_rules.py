"""Draw the picture of the user guide's page on rules.

Run ``python docs/make_rules.py``; it writes docs/_static/rules.png.
"""

from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PICTURE = Path(__file__).parent / "_static" / "rules.png"
# Rules memorize, the learner generalizes, and what is made of both.
RULES, LEARNER, BOTH, INK, SOFT = "#E69F00", "#0072B2", "#009E73", "#22303C", "#6B7885"
PAPER, LINE = "#F3F5F7", "#9AA4AE"
WIDTH, HEIGHT = 12.7, 5.95  # inches
# Left, bottom, width and height.
PLACES = {
    "rows": (0.2, 3.6, 1.2, 1.0),
    "gate": (1.75, 3.5, 1.45, 1.2),
    "learner": (3.6, 4.35, 2.0, 1.0),
    "assign": (3.6, 2.83, 2.0, 1.0),
    "voting": (6.0, 3.5, 1.45, 1.2),
    "filter": (7.8, 3.5, 1.4, 1.2),
    "decline": (9.55, 3.5, 1.3, 1.2),
    "decisions": (11.2, 3.5, 1.3, 1.2),
    "rules": (1.75, 1.8, 7.45, 0.62),
    "suggest": (1.75, 0.3, 2.5, 1.0),
    "audit": (4.75, 0.3, 2.25, 1.0),
    "review": (7.5, 0.3, 3.35, 1.0),
}
WORDS = {
    "rows": (SOFT, "a raw table:\ntitles, prices"),
    "gate": (RULES, "some rules are\nfinal, before\nall else"),
    "learner": (LEARNER, "any classifier, of\nlabeled rows"),
    "assign": (RULES, "rules vote for a class,\nweighed by precision"),
    "voting": (BOTH, "votes add up\nas evidence"),
    "filter": (RULES, "restrict, forbid:\nclasses are\nruled out"),
    "decline": (BOTH, "what is not\nsure enough"),
    "decisions": (BOTH, "who made\nthem, on what\nevidence"),
    "rules": (
        RULES,
        "a file that analysts edit, checked by lint; a change acts at the next "
        "prediction",
    ),
    "suggest": (SOFT, "suggest_rules mines rules,\nexpand_pattern synonyms"),
    "audit": (SOFT, "of each rule: precision,\nconflicts, gain"),
    "review": (
        SOFT,
        "review_sample draws rows for people,\nestimate_precision judges the batch",
    ),
}


def at(name: str, across: float, up: float) -> tuple[float, float]:
    """Return a place on a card, in shares of its width and height."""
    left, bottom, width, height = PLACES[name]
    return left + across * width, bottom + up * height


def draw_card(ax, name: str) -> None:
    """Draw a card with a bar of its color on the left, a heading and words."""
    left, bottom, width, height = PLACES[name]
    color, words = WORDS[name]
    for size, style, paint in (
        (width, "round,pad=0,rounding_size=0.07", PAPER),
        (0.07, "square,pad=0", color),
    ):
        ax.add_patch(
            FancyBboxPatch(
                (left, bottom), size, height, boxstyle=style, fc=paint, ec="none"
            )
        )
    head = {"size": 13, "weight": "bold", "color": INK}
    text = {"size": 10.4, "color": INK, "linespacing": 1.3}
    if height < 1:  # a card of one line
        middle = bottom + height / 2
        ax.text(left + 0.18, middle, name, va="center", **head)
        ax.text(left + 1.0, middle, words, va="center", **text)
        return
    top = bottom + height - 0.14
    ax.text(left + 0.18, top, name, va="top", **head)
    ax.text(left + 0.18, top - 0.3, words, va="top", **text)


def draw_arrow(ax, *places, color=LINE, style: str = "-") -> None:
    """Draw a line from place to place, with a head at its end."""
    *before, start, end = places
    for one, two in pairwise([*before, start]):
        ax.plot(*zip(one, two, strict=True), color=color, lw=1.6, ls=style)
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=12,
            lw=1.6,
            color=color,
            linestyle=style,
            shrinkA=0,
            shrinkB=2,
        )
    )


def draw() -> plt.Figure:
    """Draw the way of a row, and below it what goes back."""
    fig = plt.figure(figsize=(WIDTH, HEIGHT))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    for name in PLACES:
        draw_card(ax, name)
    note = {"size": 10.4, "color": SOFT}

    # The way of a row.
    draw_arrow(ax, at("rows", 1, 0.5), at("gate", 0, 0.5))
    for name, color, up in (("learner", LEARNER, 0.6), ("assign", RULES, 0.4)):
        draw_arrow(ax, at("gate", 1, 0.5), at(name, 0, 0.5), color=color)
        draw_arrow(ax, at(name, 1, 0.5), at("voting", 0, up), color=color)
    for one, two in pairwise(("voting", "filter", "decline", "decisions")):
        draw_arrow(ax, at(one, 1, 0.5), at(two, 0, 0.5), color=BOTH)
    start, end = at("gate", 0.5, 1), at("decisions", 0.5, 1)
    above = 5.62
    draw_arrow(ax, start, (start[0], above), (end[0], above), end, color=RULES)
    ax.text(start[0] + 0.12, above + 0.08, "decided for good", **note)

    # Where rules act, and what they teach the learner.
    for name in ("gate", "assign", "filter"):
        x, bottom = at(name, 0.5, 0)
        draw_arrow(ax, (x, at("rules", 0, 1)[1]), (x, bottom), color=RULES)
    draw_arrow(ax, at("assign", 0.2, 1), at("learner", 0.2, 0), color=RULES, style="--")
    ax.text(*at("assign", 0.26, 1.26), "label rows for it", va="center", **note)

    # What goes back.
    x, bottom = at("decisions", 0.5, 0)
    into = at("review", 1, 0.5)
    draw_arrow(ax, (x, bottom), (x, into[1]), into)
    x, bottom = at("decline", 0.5, 0)
    draw_arrow(ax, (x, bottom), (x, at("review", 0, 1)[1]))
    ax.text(x + 0.1, at("rules", 0, 0.5)[1], "declined", va="center", **note)
    draw_arrow(ax, at("review", 0, 0.5), at("audit", 1, 0.5))
    draw_arrow(ax, at("audit", 0, 0.5), at("suggest", 1, 0.5))
    draw_arrow(
        ax, at("suggest", 0.5, 1), (at("suggest", 0.5, 1)[0], PLACES["rules"][1])
    )
    ax.text(
        0.2,
        at("suggest", 0, 0.5)[1],
        "and back",
        size=13,
        weight="bold",
        color=SOFT,
        va="center",
    )
    return fig


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=160)
    print(PICTURE)
