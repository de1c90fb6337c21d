"""The models that the benchmarks compare, each as its documentation has it.

Every maker takes a table and a seed, and returns a model with `fit` and `predict_proba`
and the table as that model wants it. What is only a change of types, such as strings to
pandas categories, is done on the whole table; what has to be learned is learned in
`fit`. Libraries are imported where they are used: none is needed for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

#: The crosses of pytorch-widedeep's example, for tables that have these columns.
ADULT_CROSSES = [("education", "occupation"), ("native-country", "occupation")]


def tiny_table() -> tuple[pd.DataFrame, pd.Series]:
    """Make a table to warm up on."""
    rng = np.random.default_rng(0)
    words = np.array(["a", "b", "c"], dtype=object)
    columns = {
        "number": rng.normal(size=200),
        "count": rng.integers(0, 9, 200),
        "word": words[rng.integers(0, 3, 200)],
    }
    return pd.DataFrame(columns), pd.Series(rng.integers(0, 2, 200), name="target")


def not_numbers(X: pd.DataFrame) -> list[str]:
    """Name the columns of strings and categories."""
    return list(
        X.columns.difference(X.select_dtypes(["number", "bool"]).columns, False)
    )


def with_categories(X: pd.DataFrame, most: float = np.inf) -> pd.DataFrame:
    """Make pandas categories of strings, or codes where there are more than `most`."""
    changed = {}
    for column in not_numbers(X):
        values = X[column].astype("category")
        if len(values.cat.categories) > most:
            codes = values.cat.codes
            values = codes.where(codes >= 0, np.nan)
        changed[column] = values
    return X.assign(**changed)


class LabelsAsCodes:
    """Fit a classifier that wants labels 0, 1, 2 and so on with any labels."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: pd.DataFrame, y: pd.Series) -> LabelsAsCodes:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.model.fit(X, codes)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(X)


class PytorchWideDeep:
    """pytorch-widedeep as in its Adult example, from table to probabilities.

    Strings go into the wide part and into embeddings, numbers are standardized. A table
    without strings gets no wide part. It takes no missing numbers, which become the
    median, and crosses no missing strings, which become a string.
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (200, 100),
        crosses: Sequence[tuple[str, str]] = ADULT_CROSSES,
        n_epochs: int = 10,
        batch_size: int = 256,
        random_state: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.crosses = crosses
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit_preprocessors(self, X: pd.DataFrame) -> PytorchWideDeep:
        """Learn the encoding."""
        load_torchvision()
        from pytorch_widedeep.preprocessing import TabPreprocessor, WidePreprocessor

        strings = not_numbers(X)
        numbers = [column for column in X if column not in strings]
        self.fill_ = {**X[numbers].median(), **dict.fromkeys(strings, "missing")}
        filled = X.fillna(self.fill_)
        self.wide_ = None
        if strings:
            crosses = [pair for pair in self.crosses if set(pair) <= set(strings)]
            self.wide_ = WidePreprocessor(strings, crosses or None).fit(filled)
        self.tab_ = TabPreprocessor(
            cat_embed_cols=strings or None,
            continuous_cols=numbers or None,
            cols_to_scale=numbers or None,
        ).fit(filled)
        return self

    def transform(self, X: pd.DataFrame) -> dict[str, np.ndarray]:
        """Encode a table."""
        filled = X.fillna(self.fill_)
        inputs = {"X_tab": self.tab_.transform(filled)}
        if self.wide_ is not None:
            inputs["X_wide"] = self.wide_.transform(filled)
        return inputs

    def fit(self, X: pd.DataFrame, y: pd.Series) -> PytorchWideDeep:
        inputs = self.fit_preprocessors(X).transform(X)
        self.classes_, codes = np.unique(y, return_inverse=True)
        return self.train(inputs, codes)

    def train(self, inputs: dict[str, np.ndarray], codes: np.ndarray) -> Any:
        """Build the model and train it on an encoded table."""
        import torch
        from pytorch_widedeep import Trainer
        from pytorch_widedeep.models import TabMlp, Wide, WideDeep

        torch.manual_seed(self.random_state)
        n_classes = codes.max() + 1
        n_outputs = 1 if n_classes == 2 else int(n_classes)
        wide = None
        if self.wide_ is not None:
            wide = Wide(input_dim=self.wide_.wide_dim, pred_dim=n_outputs)
        deep = TabMlp(
            column_idx=self.tab_.column_idx,
            cat_embed_input=getattr(self.tab_, "cat_embed_input", None),
            continuous_cols=self.tab_.continuous_cols,
            mlp_hidden_dims=list(self.hidden_layer_sizes),
        )
        self.trainer_ = Trainer(
            WideDeep(wide=wide, deeptabular=deep, pred_dim=n_outputs),
            objective="binary" if n_outputs == 1 else "multiclass",
            seed=self.random_state,
            verbose=0,
            num_workers=0,  # a process takes longer to start than a batch to load
        )
        self.trainer_.fit(
            **inputs, target=codes, n_epochs=self.n_epochs, batch_size=self.batch_size
        )
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.trainer_.predict_proba(
            **self.transform(X), batch_size=self.batch_size
        )


def load_torchvision() -> None:
    """Import torchvision, beside any build of torch.

    pytorch-widedeep and torchmetrics import it for images, which no benchmark has. The
    wheel on PyPI is compiled for CUDA: with a torch for the CPU its operators cannot be
    loaded, and its import fails for want of these two declarations.
    """
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(
                f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        load_torchvision.library = library  # it goes when nothing refers to it
        import torchvision  # noqa: F401


def make_wide_deep(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from sklearn_memgen import WideDeepClassifier

    return WideDeepClassifier(random_state=seed), X


def make_wide_deep_ensemble(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from sklearn_memgen import WideDeepClassifier

    return WideDeepClassifier(n_members=8, random_state=seed), X


def make_lightgbm(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=seed, verbose=-1), with_categories(X)


def make_xgboost(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from xgboost import XGBClassifier

    model = XGBClassifier(enable_categorical=True, random_state=seed)
    return LabelsAsCodes(model), with_categories(X)


def make_catboost(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from catboost import CatBoostClassifier

    # It takes no missing strings, and has to be told which strings are free text: here
    # those of which most are different.
    strings = not_numbers(X)
    texts = [c for c in strings if X[c].nunique() > X[c].count() / 2]
    model = CatBoostClassifier(
        cat_features=[c for c in strings if c not in texts],
        text_features=texts,
        random_seed=seed,
        verbose=False,
        allow_writing_files=False,
    )
    filled = X[strings].astype(object).fillna("missing").astype(str)
    return model, X.assign(**{c: filled[c] for c in strings})


def make_histgb(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # categorical_features="from_dtype" is the default; it takes at most 255 categories.
    return HistGradientBoostingClassifier(random_state=seed), with_categories(X, 255)


def make_sklearn_mlp(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    strings = not_numbers(X)
    numbers = [column for column in X if column not in strings]
    encoder = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="infrequent_if_exist"), strings),
    )
    return make_pipeline(encoder, MLPClassifier(random_state=seed)), X


def make_pytorch_widedeep(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    return PytorchWideDeep(random_state=seed), X


def make_realmlp(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    load_torchvision()
    from pytabkit import RealMLP_TD_Classifier

    return RealMLP_TD_Classifier(random_state=seed), X


def make_tabm(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    load_torchvision()
    from pytabkit import TabM_D_Classifier

    return TabM_D_Classifier(random_state=seed), X


MAKERS: dict[str, Callable[[pd.DataFrame, int], tuple[Any, pd.DataFrame]]] = {
    "lightgbm": make_lightgbm,
    "histgb": make_histgb,
    "xgboost": make_xgboost,
    "catboost": make_catboost,
    "wide_deep": make_wide_deep,
    "wide_deep_ensemble": make_wide_deep_ensemble,
    "sklearn_mlp": make_sklearn_mlp,
    "pytorch_widedeep": make_pytorch_widedeep,
    "realmlp": make_realmlp,
    "tabm": make_tabm,
}
