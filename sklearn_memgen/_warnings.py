"""Warnings that point at the user's line, however deep they are raised."""

from __future__ import annotations

import os
import sys

import joblib
import sklearn
import skorch

__all__ = ["user_stacklevel"]

#: Folders of what stands between a user and the place that warns.
_INNER = tuple(
    os.path.join(os.path.dirname(os.path.abspath(file)), "")
    for file in (__file__, sklearn.__file__, skorch.__file__, joblib.__file__)
)


def user_stacklevel() -> int:
    """Return the `stacklevel` by which `warnings.warn` points at the user's line.

    It is that of the innermost frame outside of this package, scikit-learn, skorch and
    joblib. From Python 3.12 on `skip_file_prefixes` of `warnings.warn` does the same.

    Returns
    -------
    stacklevel : int
        For a call of `warnings.warn` in the function that calls this one. If there is
        no line of a user, that of the outermost frame.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INNER):
        frame, level = frame.f_back, level + 1
    return level
