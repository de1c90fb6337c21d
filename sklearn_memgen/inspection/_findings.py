"""What a report says, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen.inspection.memorization_display import MEMORIZED

__all__ = ["Finding", "find", "rows_to_look_at"]

#: Gap between training and test accuracy from which on a model is said to overfit.
_GAP = 0.05
#: Share of random labels from which on a model is said to learn a table by heart.
_BY_HEART = 0.9
#: Loss of accuracy by wrong labels that is worth a warning.
_HURT = 0.02
#: Share of memorized rows below which it does not matter which they are.
_FEW = 0.01
#: Rank correlation of two halves of the nets below which scores are uncertain.
_UNCERTAIN = 0.5
#: Probability of the given label, by nets without the row, below which they disagree.
_DISAGREE = 0.1


@dataclass(frozen=True)
class Finding:
    """An answer to a question about a model.

    Parameters
    ----------
    question, answer : str
        In plain words.
    verdict : {"good", "look"}
        Whether all is well, or there is something to look at.
    """

    question: str
    answer: str
    verdict: str


def find(
    performance: pd.Series, scores: Any, test: Any, data_map: Any
) -> list[Finding]:
    """Return the findings of a report; see `MemorizationReport` for the parameters."""
    runs = test.means()["train_accuracy"].droplevel("regularized")
    tested = test.means()["test_accuracy"].droplevel("regularized")
    return [
        _goodness(performance),
        _memorized(scores),
        _suspects(scores),
        _capacity(runs, 1 / len(scores.classes)),
        _noise(tested),
        _learning(data_map),
    ]


def _goodness(performance: pd.Series) -> Finding:
    train, test = performance["train_accuracy"], performance["test_accuracy"]
    answer = (
        f"It is right on {test:.1%} of the rows that it has not seen, and on "
        f"{train:.1%} of those that it has learned. Always saying the most frequent "
        f"class would be right on {performance['majority']:.1%}."
    )
    verdict = "good"
    if test <= performance["majority"]:
        verdict, answer = "look", f"{answer} It is no better than that."
    elif train - test > _GAP:
        verdict = "look"
        answer = (
            f"{answer} The difference of {100 * (train - test):.0f} points is what it "
            "knows of its own rows and not of the matter."
        )
    return Finding("Is the model good?", answer, verdict)


def _memorized(scores: Any) -> Finding:
    memorization = scores.memorization
    share = float(np.nanmean(memorization >= MEMORIZED))
    agreement = scores.agreement()
    answer = (
        f"{share:.1%} of the rows: nets that have learned such a row say its label, "
        "with a probability that is higher by a quarter or more than that of nets that "
        "have not. For the others the remaining rows teach the label."
    )
    if share >= _FEW and agreement < _UNCERTAIN:
        answer += (
            f" Which rows they are is uncertain: two halves of the {scores.n_models} "
            f"nets agree by a rank correlation of {agreement:.2f} only. More nets "
            "(n_models) make it more certain."
        )
    verdict = "look" if share > _GAP else "good"
    return Finding("Does it know rows only by heart?", answer, verdict)


def _suspects(scores: Any) -> Finding:
    disagree = _is_suspect(scores.to_frame())
    n_suspects = int(disagree.sum())
    if not n_suspects:
        answer = "No row has a label that the other rows speak against clearly."
        return Finding("Which labels may be wrong?", answer, "good")
    answer = (
        f"{n_suspects:,} rows ({n_suspects / len(disagree):.1%}) have a label to which "
        "nets without the row give a probability below a tenth. These are wrong "
        "labels, or rare cases that no other row speaks of; the table below begins "
        "with them."
    )
    return Finding("Which labels may be wrong?", answer, "look")


def _capacity(train_accuracy: pd.Series, chance: float) -> Finding:
    fitted = float(train_accuracy["labels"])
    question = "Is it large enough to learn the table by heart?"
    if fitted >= _BY_HEART:
        answer = (
            "Yes. Given random labels, from which nothing can be learned, it fits "
            f"{fitted:.1%} of them. That it is right on its training rows says "
            "nothing, so judge it by rows that it has not seen."
        )
    else:
        answer = (
            f"Not in the time it is trained. Given random labels it fits {fitted:.1%} "
            f"of them; guessing would give about {chance:.1%}."
        )
    return Finding(question, answer, "good")


def _noise(test_accuracy: pd.Series) -> Finding:
    clean, noisy = test_accuracy["none"], test_accuracy["partial_labels"]
    loss = float(clean - noisy)
    answer = (
        "With a fifth of the training labels made random it is right on "
        f"{noisy:.1%} of the rows that it has not seen, instead of {clean:.1%}; it is "
        "trained to the end both times. "
    )
    if loss > _HURT:
        answer += (
            "It learns the wrong labels by heart at the cost of others: clean labels, "
            "or early stopping, are worth the effort."
        )
    else:
        answer += "It learns in spite of them."
    verdict = "look" if loss > _HURT else "good"
    return Finding("Would wrong labels hurt?", answer, verdict)


def _learning(data_map: Any) -> Finding:
    region = pd.Series(data_map.region)
    shares = region.value_counts(normalize=True)
    hard = float(shares.get("hard", 0.0))
    answer = (
        f"{shares.get('easy', 0.0):.1%} of the rows are easy: the net is sure of them "
        "from early on. The third whose probabilities vary most from epoch to epoch is "
        f"called ambiguous; it teaches most. {hard:.1%} are hard: it hardly ever "
        "believes their label while it learns."
    )
    verdict = "look" if hard > _GAP else "good"
    return Finding("How hard are the rows to learn?", answer, verdict)


def _is_suspect(frame: pd.DataFrame) -> np.ndarray:
    """Tell which rows have a label that other rows speak against."""
    differs = frame["label"] != frame["predicted_out"]
    return (differs & (frame["correct_out"] < _DISAGREE)).to_numpy()


def rows_to_look_at(
    frame: pd.DataFrame, values: pd.DataFrame, n_rows: int
) -> pd.DataFrame:
    """Return the rows to look at; see `MemorizationReport.rows_to_look_at`."""
    suspect = _is_suspect(frame)
    scores = frame["memorization"].to_numpy()
    is_certain = scores > 2 * frame["std_error"].to_numpy()
    places = np.flatnonzero(suspect | (is_certain & (scores >= MEMORIZED)))
    rank = np.where(suspect, frame["correct_out"].to_numpy() - 2, -scores)[places]
    places = places[np.argsort(rank, kind="stable")][:n_rows]
    picked = frame.iloc[places]
    why = np.where(
        suspect[places],
        "other rows speak against it",
        "other rows leave it open",
    )
    said = pd.DataFrame(
        {
            "label": picked["label"],
            "others_say": picked["predicted_out"],
            "memorization": picked["memorization"],
            "std_error": picked["std_error"],
            "why": why,
        }
    )
    taken = set(said.columns)
    shown = values.iloc[places].set_axis(said.index)
    shown = shown.rename(columns={c: f"{c} (column)" for c in shown if c in taken})
    return said.join(shown)
