"""The main job: what a wide part, a deep part and both together learn of a table.

``make demo`` runs it on a table whose rows are known to be general, exceptions or
noise, then on Adult, the census table, where its file is there.
``make demo CSV=file.csv TARGET=column`` runs it on a table of your own.
"""

import argparse
import difflib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, ParameterGrid, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.multiclass import type_of_target

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult, make_memgen_classification

PARTS = ["general", "exception", "noise"]
CROSSES = [("cat_0", "cat_1")]
REFERENCE = "gradient boosting"
PICTURE = "memorize_or_generalize.png"
# Okabe and Ito's colors, which color-blind readers can tell apart.
COLORS = ["#E69F00", "#0072B2", "#009E73", "#999999"]
MIN_ROWS = 20


class BadInputError(Exception):
    """What is wrong with the arguments or the file, in one line."""


def make_grids(quick: bool) -> dict[str, dict[str, list]]:
    """Return a parameter grid for each kind of model: the ablation of the paper.

    The learning rate of the wide part says how readily it memorizes.
    """
    rates = [0.5] if quick else [0.2, 0.5, 1.0]
    wide = {"model__crosses": [CROSSES], "model__wide_learning_rate": rates}
    return {
        "wide only": {"model__hidden_layer_sizes": [()], **wide},
        "deep only": {"model__wide": [False], "model__crosses": [()]},
        "wide & deep": wide,
    }


def make_model() -> Pipeline:
    """Return a pipeline from the raw frame to the classifier.

    The classifier needs no scaling; the step shows that columns keep their names on
    the way, by which `crosses` finds them.
    """
    scale_numbers = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return Pipeline(
        [
            ("scale", scale_numbers.set_output(transform="pandas")),
            ("model", WideDeepClassifier(random_state=0)),
        ]
    )


def make_reference() -> Pipeline:
    """Return gradient boosting with its own treatment of categories."""
    return make_pipeline(
        FunctionTransformer(strings_to_categories),
        HistGradientBoostingClassifier(random_state=0),
    )


def strings_to_categories(X: pd.DataFrame) -> pd.DataFrame:
    """Give columns of strings the dtype by which scikit-learn knows categories."""
    strings = X.select_dtypes(exclude="number").columns
    return X.astype(dict.fromkeys(strings, "category"))


def search_kinds(
    X: pd.DataFrame, y: pd.Series, grids: dict[str, dict[str, list]], quick: bool
) -> tuple[pd.DataFrame, dict[str, Pipeline]]:
    """Search the grids of all kinds at once.

    Returns
    -------
    results : DataFrame
        A row per candidate, the best first.
    best : dict of str to Pipeline
        The best candidate of each kind, not fitted.
    """
    search = GridSearchCV(
        make_model(),
        list(grids.values()),
        scoring="neg_log_loss",
        cv=3,
        n_jobs=1 if quick else 2,
        refit=False,
    )
    search.fit(X, y)
    found = search.cv_results_
    # The candidates come in the order of the grids.
    sizes = [len(ParameterGrid(grid)) for grid in grids.values()]
    results = pd.DataFrame(
        {
            "model": np.repeat(list(grids), sizes),
            "wide_learning_rate": [
                params.get("model__wide_learning_rate", np.nan)
                for params in found["params"]
            ],
            "log-loss": -found["mean_test_score"],
            "+-": found["std_test_score"],
            "fit s": found["mean_fit_time"],
        }
    ).sort_values("log-loss")
    winners = results.groupby("model", sort=False)["log-loss"].idxmin()
    best = {
        kind: make_model().set_params(**found["params"][winners[kind]])
        for kind in grids
    }
    return results, best


def score_by_part(
    model: ClassifierMixin, X: pd.DataFrame, y: pd.Series, parts: pd.Series
) -> dict[str, float]:
    """Return the accuracy on each kind of row and on all, and the log-loss."""
    right = model.predict(X) == y
    return {
        **right.groupby(parts).mean().reindex(PARTS).to_dict(),
        "all": right.mean(),
        "log-loss": log_loss(y, model.predict_proba(X)),
    }


def largest_weights(model: WideDeepClassifier, n: int = 8) -> pd.DataFrame:
    """Return the largest wide weights; of many classes the one that each is for."""
    table = model.wide_weights_.head(n).astype({"count": "Int64"})
    if "weight" in table:
        return table
    weights = table[[f"weight_{label}" for label in model.classes_]].to_numpy()
    largest = np.abs(weights).argmax(axis=1)
    return pd.DataFrame(
        {
            "feature": table["feature"],
            "class": model.classes_[largest],
            "weight": weights[np.arange(len(table)), largest],
            "count": table["count"],
        }
    )


def describe(scores: pd.DataFrame) -> str:
    """Say in one sentence what the scores show."""
    wide, deep, joint = (scores.loc[kind] for kind in scores.index[:3])
    best = scores.iloc[:3]["log-loss"].idxmin()
    return (
        f"Of the exceptions the deep part alone gets {deep['exception']:.0%} right,\n"
        f"the wide part alone {wide['exception']:.0%} and both together "
        f"{joint['exception']:.0%}; of the general rows\nit is {deep['general']:.0%}, "
        f"{wide['general']:.0%} and {joint['general']:.0%}; over all rows the lowest "
        f"log-loss of the three\nis that of {best}, {scores.loc[best, 'log-loss']:.3f}."
    )


def draw(scores: pd.DataFrame, path: Path) -> None:
    """Draw the accuracy of each model on each kind of row, and save it."""
    fig, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
    width = 0.8 / len(scores)
    for i, (name, row) in enumerate(scores.iterrows()):
        left = np.arange(len(PARTS)) + (i - (len(scores) - 1) / 2) * width
        bars = ax.bar(left, row[PARTS], 0.92 * width, color=COLORS[i], label=name)
        ax.bar_label(bars, fmt="{:.2f}", padding=2, fontsize=9)
    notes = [
        "follow a smooth rule:\nto be generalized",
        "repeating pairs that break it:\nworth memorizing",
        "flipped labels:\nthe lower, the better",
    ]
    ax.set_xticks(range(len(PARTS)))
    ax.set_xticklabels(
        [f"{part} rows\n{note}" for part, note in zip(PARTS, notes, strict=True)]
    )
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, 1.08)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_ylabel("accuracy on test rows")
    ax.set_title("Memorize or generalize? Accuracy by kind of row", loc="left", pad=30)
    ax.legend(
        ncols=len(scores), frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 1.0)
    )
    ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def run_known_table(output: Path, quick: bool) -> None:
    """Compare the three kinds of model where the kind of each row is known."""
    n_samples = 4_000 if quick else 10_000
    X, y, parts = make_memgen_classification(
        n_samples=n_samples, random_state=0, return_parts=True
    )
    X_train, X_test, y_train, y_test, _, parts_test = train_test_split(
        X, y, parts, stratify=parts, random_state=0
    )
    counts = ", ".join(f"{n} {part}" for part, n in parts.value_counts().items())
    heading(f"A table with known parts: {n_samples} rows, of which {counts}")

    results, best = search_kinds(X_train, y_train, make_grids(quick), quick)
    print("\nGrid search, log-loss over 3 folds of the training rows:\n")
    print(as_text(results))

    scores = {}
    for name, model in {**best, REFERENCE: make_reference()}.items():
        started = time.perf_counter()
        model.fit(X_train, y_train)
        seconds = time.perf_counter() - started
        scores[name] = score_by_part(model, X_test, y_test, parts_test)
        scores[name]["fit s"] = seconds
    table = pd.DataFrame(scores).T
    print("\nThe best of each kind, accuracy on test rows (noise: the lower, the")
    print("better, since agreeing with a wrong label is an error learned):\n")
    print(as_text(table.rename_axis("model").reset_index()))
    print(f"\n{describe(table)}")

    print("\nWhat the wide part of wide & deep has memorized, the largest weights:\n")
    print(as_text(largest_weights(best["wide & deep"].named_steps["model"])))

    draw(table, output / PICTURE)
    print(f"\nPicture: {output / PICTURE}")


def run_adult(quick: bool) -> None:
    """Fit the default classifier on the census table, where its file is there."""
    heading("Adult, the census table: default parameters")
    try:
        X, y = fetch_adult(download_if_missing=False, return_X_y=True)
    except (OSError, ImportError) as error:
        print(f"\nSkipped: {error}")
        return
    if quick:
        X, y = X[:4000], y[:4000]
    fit_and_report(X, y)


def run_csv(path: Path, target: str) -> None:
    """Fit the default classifier on a file of the user's own."""
    X, y = read_table(path, target)
    heading(f"{path.name}: {len(X)} rows, {X.shape[1]} columns beside {target!r}")
    rows = y.value_counts()
    print(f"\nClasses: {len(rows)}{', the 20 largest' if len(rows) > 20 else ''}\n")
    balance = pd.DataFrame({"class": rows.index, "rows": rows, "share": rows / len(y)})
    print(as_text(balance.head(20)))
    try:
        model = fit_and_report(X, y)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"{path.name}: {reason}") from error
    print("\nKinds of columns: ", end="")
    kinds = model.encoder_.column_kinds_.value_counts()
    print(", ".join(f"{n} {kind}" for kind, n in kinds.items()))
    print("\nNumbers with values that repeat, and which are memorized exactly; crosses")
    print("that were found:\n")
    print(as_text(model.memorized_))
    print("\nThe largest of the wide weights:\n")
    print(as_text(largest_weights(model)))


def read_table(path: Path, target: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read a CSV file and check what can be learned from it."""
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError as error:
        raise BadInputError(f"there is no file {str(path)!r}") from error
    except (OSError, ValueError) as error:
        # ParserError, EmptyDataError and UnicodeDecodeError are ValueErrors.
        reason = " ".join(str(error).split())
        raise BadInputError(f"{str(path)!r} cannot be read as CSV: {reason}") from error
    if target not in frame:
        raise BadInputError(no_such_column(frame, target))
    if frame.shape[1] < 2:
        raise BadInputError(f"{path.name} has no column beside the target {target!r}")

    known = frame[target].notna()
    if not known.all():
        print(f"Rows without a value of {target!r} are left out: {(~known).sum()}.")
    y = frame.loc[known, target]
    if not pd.api.types.is_numeric_dtype(y):
        y = y.astype(str)
    elif pd.api.types.is_float_dtype(y) and (y % 1 == 0).all():
        y = y.astype("int64")  # pandas reads integers beside missing ones as floats
    check_target(y, target)
    alone = y.map(y.value_counts()) == 1
    if alone.any():
        print(f"Rows that are the only one of their class are left out: {alone.sum()}.")
        y = y[~alone]
        check_target(y, target)
    return frame.loc[y.index].drop(columns=target), y


def no_such_column(frame: pd.DataFrame, target: str) -> str:
    """Say that a column is missing, and which may have been meant."""
    names = [str(name) for name in frame.columns]
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(target.casefold(), folded, n=1)
    if near:
        return f"there is no column {target!r}; did you mean {folded[near[0]]!r}?"
    if len(names) == 1:
        return (
            f"there is no column {target!r}; the file has the one column {names[0]!r}; "
            "are its values separated by commas?"
        )
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"there is no column {target!r}; the columns are {shown}"


def check_target(y: pd.Series, target: str) -> None:
    """Check that the target holds classes, and enough rows of them."""
    n_classes = y.nunique()
    if len(y) < MIN_ROWS:
        raise BadInputError(
            f"{len(y)} rows with a value of {target!r}; at least {MIN_ROWS} are needed"
        )
    if n_classes < 2:
        raise BadInputError(f"target {target!r} has one class only: {y.iloc[0]}")
    if type_of_target(y).startswith("continuous") or n_classes > len(y) // 5:
        raise BadInputError(
            f"target {target!r} has {n_classes} different values in {len(y)} rows; "
            "expected classes, not a quantity or an id"
        )


def fit_and_report(X: pd.DataFrame, y: pd.Series) -> WideDeepClassifier:
    """Fit the default classifier on four fifths of the rows, score it on the rest."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=0
    )
    model = WideDeepClassifier(random_state=0)
    started = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - started
    probabilities = model.predict_proba(X_test)
    accuracy = accuracy_score(y_test, model.predict(X_test))
    print(f"\nTest rows       {len(X_test)} of {len(X)}, drawn by class")
    print(f"Fit             {seconds:.1f} s, {len(model.history_)} epochs")
    most_frequent = (y_test == y_train.mode()[0]).mean()
    print(f"Accuracy        {accuracy:.4f} (most frequent class: {most_frequent:.4f})")
    print(
        f"Log-loss        {log_loss(y_test, probabilities, labels=model.classes_):.4f}"
    )
    if len(model.classes_) == 2:
        auc = roc_auc_score(y_test == model.classes_[1], probabilities[:, 1])
        print(f"ROC AUC         {auc:.4f}")
    return model


def make_folder(path: Path) -> None:
    """Make the folder of the picture, before the work that leads to it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(
            f"{str(path)!r} cannot be made a folder: {error}"
        ) from error


def heading(text: str) -> None:
    """Print an underlined heading."""
    print(f"\n{text}\n{'-' * len(text)}")


def as_text(frame: pd.DataFrame) -> str:
    """Return a frame as text, without its index."""
    if frame.empty:
        return "(none)"
    return frame.to_string(
        index=False, float_format=lambda x: f"{x:.3f}", na_rep="-", max_colwidth=60
    )


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Compare a wide part, a deep part and both on a table whose rows "
        "are known to be general, exceptions or noise; or fit the default classifier "
        "on a CSV file of your own."
    )
    parser.add_argument("--csv", metavar="FILE", help="a table of your own")
    parser.add_argument("--target", metavar="COLUMN", help="its column of classes")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("demo_output"),
        help="where the picture goes (default: %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smaller table and a smaller search"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    arguments = parse_arguments(argv)
    try:
        if (arguments.csv is None) != (arguments.target is None):
            raise BadInputError("--csv FILE and --target COLUMN go together")
        if arguments.csv is not None:
            run_csv(Path(arguments.csv), arguments.target)
            return 0
        make_folder(arguments.output)
        run_known_table(arguments.output, arguments.quick)
        run_adult(arguments.quick)
    except BadInputError as error:
        print(f"demo.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
