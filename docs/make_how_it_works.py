"""Draw the picture of the user guide's page on how the model works.

Run ``python docs/make_how_it_works.py``; it writes docs/_static/how_it_works.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PICTURE = Path(__file__).parent / "_static" / "how_it_works.png"
# The colors of the landing page, and of exact, smooth and statistical encodings.
WIDE, DEEP, JOINT, INK, SOFT = "#E69F00", "#0072B2", "#009E73", "#22303C", "#6B7885"
PAPER = "#F3F5F7"
WIDTH, HEIGHT = 11.6, 5.5  # inches
LEFTS = {"columns": 0.3, "encoded": 2.9, "parts": 7.25, "sum": 9.85}
HEADS = {
    "columns": "a raw table",
    "encoded": "encoded by evidence",
    "parts": "learned at once",
    "sum": "one answer",
}
COLUMNS = {
    "categories": "city, occupation, user id",
    "numbers": "age, price, capital gain",
    "dates": "month, weekday, hour",
    "text": "words and pairs of words",
}
ENCODINGS = {
    "exact ids": (
        WIDE,
        "every category, date part and word (rare ones if that\n"
        "pays); a number where exact values beat bins",
    ),
    "target statistics": (
        JOINT,
        "of categories of many values, found crosses, and rows\n"
        "that repeat: what other rows of the kind were like",
    ),
    "bins that follow the target": (
        DEEP,
        "every number, piecewise linear, with edges where\n"
        "the target changes; for the wide part, a slope",
    ),
}
ENCODED_BOTTOMS = [3.68, 2.3, 0.92]
PARTS = {
    "wide part": (WIDE, "one weight an id,\nlearned by FTRL:\nmemorizes", 3.1),
    "deep part": (DEEP, "embeddings and 4\nperceptrons, 128-128:\ngeneralizes", 1.3),
}
BOX, PART, COLUMN = (3.65, 1.0), (1.75, 1.2), (1.9, 0.78)


def draw_box(ax, left, bottom, size, head, words, color) -> None:
    """Draw a card with a bar of its color on the left, a heading and words."""
    width, height = size
    style = "round,pad=0,rounding_size=0.07"
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom), width, height, boxstyle=style, fc=PAPER, ec="none"
        )
    )
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom), 0.07, height, boxstyle="square,pad=0", fc=color, ec="none"
        )
    )
    top = bottom + height - 0.14
    ax.text(left + 0.2, top, head, size=12, weight="bold", color=INK, va="top")
    ax.text(left + 0.2, top - 0.3, words, size=9, color=INK, va="top", linespacing=1.35)


def draw_arrow(ax, start, end, color, style: str = "-") -> None:
    """Draw an arrow from one card to another."""
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=11,
            lw=1.5,
            color=color,
            linestyle=style,
            shrinkA=2,
            shrinkB=2,
        )
    )


def draw() -> plt.Figure:
    """Draw the way of a row, from left to right."""
    fig = plt.figure(figsize=(WIDTH, HEIGHT))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    for number, (name, head) in enumerate(HEADS.items(), start=1):
        ax.text(
            LEFTS[name], 5.05, f"{number}  {head}", size=13, weight="bold", color=SOFT
        )

    bottoms = [3.9, 2.91, 1.91, 0.92]
    for (head, words), bottom in zip(COLUMNS.items(), bottoms, strict=True):
        draw_box(ax, LEFTS["columns"], bottom, COLUMN, head, words, SOFT)
    right = LEFTS["columns"] + COLUMN[0]
    for bottom in ENCODED_BOTTOMS:
        draw_arrow(ax, (right, 2.8), (LEFTS["encoded"], bottom + BOX[1] / 2), "#B8C0C8")

    boxes = zip(ENCODINGS.items(), ENCODED_BOTTOMS, strict=True)
    for (head, (color, words)), bottom in boxes:
        draw_box(ax, LEFTS["encoded"], bottom, BOX, head, words, color)
    for head, (color, words, bottom) in PARTS.items():
        draw_box(ax, LEFTS["parts"], bottom, PART, head, words, color)

    right = LEFTS["encoded"] + BOX[0]
    wide, deep = (bottom for _, _, bottom in PARTS.values())
    colors = [color for color, _ in ENCODINGS.values()]
    middles = [bottom + BOX[1] / 2 for bottom in ENCODED_BOTTOMS]
    for middle, color in zip(middles, colors, strict=True):
        for bottom in (wide, deep):
            # The wide part has no bins, but a slope for each number.
            style = "--" if color == DEEP and bottom == wide else "-"
            into = bottom + PART[1] / 2 + 0.22 * (middle - 2.8) / 1.38
            draw_arrow(ax, (right, middle), (LEFTS["parts"], into), color, style)

    left, height = LEFTS["sum"], 1.5
    bottom = (wide + deep + PART[1]) / 2 - height / 2
    draw_box(
        ax,
        left,
        bottom,
        (1.4, height),
        "average",
        "wide + deep, for\neach perceptron;\nthe mean of the\n4 probabilities",
        JOINT,
    )
    right = LEFTS["parts"] + PART[0]
    for start, color, end in ((wide, WIDE, 0.3), (deep, DEEP, -0.3)):
        draw_arrow(
            ax, (right, start + PART[1] / 2), (left, bottom + height / 2 + end), color
        )
    ax.text(
        LEFTS["columns"],
        0.3,
        "What is tied to exact values is memorized; what is smooth is generalized. "
        "explain() says how much of either is in a prediction.",
        size=10,
        color=SOFT,
    )
    return fig


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=160)
    print(PICTURE)
