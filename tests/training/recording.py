"""A slow trace in plain Python, to compare with."""

import math

import numpy as np
import torch
from skorch.callbacks import Callback

from sklearn_memgen.training import probabilities


class Recorder(Callback):
    """Writes down every logit that training computes, by a hook for batches."""

    def __init__(self):
        self.seen_ = []

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        if not training:
            return
        rows = batch.rows
        if isinstance(rows, slice):
            rows = torch.arange(rows.start, rows.stop)
        losses = net.criterion_(y_pred.detach(), batch[1])
        columns = (rows, y_pred.detach().double(), batch[1], losses)
        epoch = len(net.history)
        for row, logits, label, loss in zip(*columns, strict=True):
            self.seen_.append((epoch, int(row), logits, int(label), float(loss)))

    def rows(self):
        """Return the columns of a trace for each row that was seen, as a dict."""
        events = {}
        for epoch, row, logits, label, loss in self.seen_:
            p = probabilities(logits[None])[0].numpy()
            rest = np.delete(p, label)
            if logits.ndim == 1 and len(logits) > 1:
                z = logits.tolist()
                margin = z[label] - max(z[:label] + z[label + 1 :])
            else:  # pooled probabilities, or one logit
                margin = math.log(p[label]) - math.log(rest.max())
            event = (epoch, margin > 0, margin, p[label], loss)
            events.setdefault(row, []).append(event)
        return {row: summarize(of_row) for row, of_row in events.items()}


def summarize(events):
    """Go through what happened to a row, in its order."""
    was, first, n_learned, n_forgotten = False, None, 0, 0
    for epoch, correct, *_ in events:
        if correct and not was:
            n_learned += 1
            first = first or epoch
        if was and not correct:
            n_forgotten += 1
        was = correct
    _, corrects, margins, chances, losses = zip(*events, strict=True)
    return {
        "n_seen": len(events),
        "n_correct": sum(corrects),
        "last_correct": was,
        "first_learned_epoch": first,
        "n_learned": n_learned,
        "n_forgotten": n_forgotten,
        "aum": np.mean(margins),
        "confidence": np.mean(chances),
        "variability": np.std(chances),
        "mean_loss": np.mean(losses),
    }


def assert_equals_recorded(frame, recorded):
    """Compare the frame of a trace with what a recorder wrote down."""
    assert sorted(recorded) == np.flatnonzero(frame["n_seen"]).tolist()
    for row, expected in recorded.items():
        values = frame.iloc[row]
        for name, value in expected.items():
            if value is None:
                assert values.isna()[name], (row, name)
            else:
                np.testing.assert_allclose(
                    values[name], value, rtol=2e-4, atol=2e-5, err_msg=f"{row} {name}"
                )
