"""The census income table, from a file or from OpenML."""

import os
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pandas as pd
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import Bunch

from sklearn_memgen._sklearn import validate_params

FILE_NAME = "adult.parquet"
DATA_VARIABLE = "SKLEARN_MEMGEN_DATA"
TARGET = "target"
TARGET_NAMES = ["<=50K", ">50K"]
# Columns in their order, and whether each is a number.
IS_NUMERIC = {
    "age": True,
    "workclass": False,
    "fnlwgt": True,
    "education": False,
    "education-num": True,
    "marital-status": False,
    "occupation": False,
    "relationship": False,
    "race": False,
    "sex": False,
    "capital-gain": True,
    "capital-loss": True,
    "hours-per-week": True,
    "native-country": False,
}

DESCR = """\
Adult (census income)
---------------------

Does a person earn more than 50,000 dollars a year? Drawn from the census database of
the United States of 1994 by Barry Becker, for people older than 16 who worked.

- Rows: 48,842, one a person.
- Features: 14, of which 6 are integers and 8 are categories as strings. Missing are
  2,799 values of workclass, 2,809 of occupation and 857 of native-country.
- Target: "<=50K" (37,155 rows) or ">50K" (11,687 rows).
- "fnlwgt" is the number of people the row stands for in the census, not a trait of
  the person; "education-num" is "education" in order, as a number.

R. Kohavi, "Scaling up the accuracy of naive-Bayes classifiers: a decision-tree
hybrid", KDD 1996. B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository,
1996, https://doi.org/10.24432/C5XW20.
"""


def _candidate_files(data_home: str | os.PathLike | None) -> Iterator[Path]:
    """Yield the places of the file, the most explicit first.

    Lazily, since asking scikit-learn for its own folder creates that folder.
    """
    if data_home is not None:
        yield Path(data_home).expanduser() / FILE_NAME
    if os.environ.get(DATA_VARIABLE):
        yield Path(os.environ[DATA_VARIABLE]).expanduser() / "tabular" / FILE_NAME
    if data_home is None:
        yield Path(get_data_home()) / FILE_NAME


def _tidy(frame: pd.DataFrame, source: object) -> pd.DataFrame:
    """Bring a table to one form: integers, plain strings, the target last."""
    missing = [name for name in [*IS_NUMERIC, TARGET] if name not in frame]
    if missing:
        raise ValueError(
            f"{source} is not the Adult table: expected the columns "
            f"{[*IS_NUMERIC, TARGET]}, but {missing} are missing from "
            f"{list(frame.columns)}."
        )
    columns = {
        name: frame[name].astype("int64") if is_numeric else _as_strings(frame[name])
        for name, is_numeric in IS_NUMERIC.items()
    }
    return pd.DataFrame({**columns, TARGET: _as_strings(frame[TARGET])})


def _as_strings(column: pd.Series) -> pd.Series:
    """Turn categories into the strings of this pandas version; missing stays so."""
    return pd.Series(column.to_numpy(dtype=object), index=column.index)


def _download(data_home: str | os.PathLike | None, tried: list[Path]) -> pd.DataFrame:
    """Ask OpenML, and say what else can be done where it does not answer."""
    try:
        table = fetch_openml(
            name="adult", version=2, as_frame=True, data_home=data_home
        ).frame
    except (OSError, HTTPException) as error:
        raise OSError(
            f"The Adult table is not in {_join(tried)}, and OpenML (name='adult', "
            f"version=2) could not be reached: {error!r}. {_how_to_provide()}"
        ) from error
    return _tidy(table.rename(columns={"class": TARGET}), "OpenML's answer")


def _join(paths: list[Path]) -> str:
    return " or ".join(repr(str(path)) for path in paths)


def _how_to_provide() -> str:
    return (
        f"Put {FILE_NAME!r} into data_home, or into the folder 'tabular' under the "
        f"environment variable {DATA_VARIABLE}, or connect to the network and pass "
        "download_if_missing=True."
    )


@validate_params(
    {
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_adult(
    data_home: str | os.PathLike | None = None,
    *,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load the Adult census income table (classification).

    The file `adult.parquet` is read where there is one; otherwise the table is
    downloaded from OpenML.

    ==============   =======================
    Classes                                2
    Samples total                      48842
    Dimensionality                        14
    Features         integers, strings, some
                     strings missing
    ==============   =======================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder to look for `adult.parquet` in, and for the cache of OpenML. By
        default the folder of :func:`sklearn.datasets.get_data_home`. The folder
        `tabular` under the environment variable `SKLEARN_MEMGEN_DATA`, where that is
        set, comes after a `data_home` that is given and before the default one.
    download_if_missing : bool, default=True
        Whether to ask OpenML where there is no file. If False, an OSError is raised
        instead; the cache of an earlier download is not looked at.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (48842, 14)
            Six int64 columns and eight string columns, in which a missing value is
            NaN.
        target : Series of shape (48842,)
            `"<=50K"` or `">50K"`, named `target`.
        frame : DataFrame of shape (48842, 15)
            `data` and `target` together, the target last.
        feature_names : list of str
            Names of the 14 features.
        target_names : list of str
            The two classes, sorted.
        DESCR : str
            Description of the table.

    (data, target) : tuple of DataFrame and Series
        Only if `return_X_y=True`.

    Raises
    ------
    OSError
        If there is no file, and OpenML may not be asked or cannot be reached.
    ValueError
        If a file has other columns than those of the Adult table.

    Notes
    -----
    Read from the file, the first 32,561 rows are the official train split and the
    other 16,281 rows are the test split. OpenML does not tell the splits apart: do
    not take them from the order of its rows.

    Reading the file needs pyarrow or fastparquet.

    References
    ----------
    .. [1] B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996.
       https://doi.org/10.24432/C5XW20

    Examples
    --------
    >>> from sklearn_memgen.datasets import fetch_adult
    >>> X, y = fetch_adult(return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (48842, 14)
    >>> y.value_counts().to_dict()  # doctest: +SKIP
    {'<=50K': 37155, '>50K': 11687}
    """
    tried = []
    for path in _candidate_files(data_home):
        if path.is_file():
            frame = _tidy(pd.read_parquet(path), path)
            break
        tried.append(path)
    else:
        if not download_if_missing:
            raise OSError(
                f"The Adult table is not in {_join(tried)}. {_how_to_provide()}"
            )
        frame = _download(data_home, tried)

    data, target = frame.drop(columns=TARGET), frame[TARGET]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=list(IS_NUMERIC),
        target_names=list(TARGET_NAMES),
        DESCR=DESCR,
    )
