"""When nets learned the labels of each class, and how often they forgot them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sklearn_memgen._probe_nets import ProbeNet

__all__ = ["learning_events"]


def learning_events(nets: Sequence[ProbeNet], classes: np.ndarray) -> pd.DataFrame:
    """Count learning and forgetting events, class by class.

    Parameters
    ----------
    nets : sequence of ProbeNet
        Trained nets; those with threshold samples are left out.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.

    Returns
    -------
    events : DataFrame
        `NoisyFineTuneProbe.learning_events_`.
    """
    frames = []
    for net in nets:
        if net.has_threshold:
            continue
        course = net.course
        rows = course.rows.numpy()
        frame = net.trace.to_frame().iloc[rows]
        wrong = course.corrupted[rows]
        frames.append(
            pd.DataFrame(
                {
                    "level": net.level,
                    "labels": np.where(wrong, "wrong", "clean"),
                    "class": classes[course.learned.numpy()[rows]],
                    "first_learned_epoch": frame["first_learned_epoch"]
                    .astype("Float64")
                    .to_numpy(dtype=float, na_value=np.nan),
                    "n_forgotten": frame["n_forgotten"].to_numpy(dtype=float),
                }
            )
        )
    seen = pd.concat(frames, ignore_index=True)
    seen["is_learned"] = seen["first_learned_epoch"].notna()
    seen["is_forgettable"] = seen["n_forgotten"] > 0
    groups = seen.groupby(["level", "labels", "class"], observed=True)
    events = pd.DataFrame(
        {
            "n_labels": groups.size(),
            "n_learned": groups["is_learned"].sum(),
            "n_forgettable": groups["is_forgettable"].sum(),
            "n_forgotten": groups["n_forgotten"].mean(),
            "first_learned_epoch": groups["first_learned_epoch"].mean(),
        }
    )
    events.insert(3, "forgettable_share", events["n_forgettable"] / events["n_learned"])
    return events
