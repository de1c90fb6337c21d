"""A tiny transformer with its tokenizer, and texts and sentences that it can learn."""

import string
from pathlib import Path

import numpy as np
import torch

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
#: Words of which each class of texts has one row.
TOPICS = [
    "card payment bank money account transfer",
    "train ticket station journey platform delay",
    "doctor pain medicine hospital fever nurse",
    "goal player match team referee trainer",
    "oven recipe flour sugar butter kitchen",
    "rain storm cloud wind sunshine snow",
]
FILLERS = ["the", "a", "is", "my", "and", "of", "in", "on", "to", "was", "why"]
FIRST_NAMES = ["Anna", "Marco", "Olga", "Peter", "Fatima", "Chen"]
LAST_NAMES = ["Rossi", "Ivanov", "Smith", "Garcia", "Tanaka"]
CITIES = ["Rome", "Oslo", "New York", "Kyiv", "San Marino", "Lima"]
VERBS = ["visits", "leaves", "likes", "reaches", "describes", "remembers"]


def make_vocabulary(size: int) -> list[str]:
    """Return pieces of which any word of letters can be made.

    Every second word that is used here is one piece; the others are two.
    """
    signs = [*string.ascii_lowercase, *string.digits]
    named = " ".join([*FIRST_NAMES, *LAST_NAMES, *CITIES]).lower().split()
    words = [*" ".join(TOPICS).split(), *VERBS, *named]
    halves = [(word[: len(word) // 2], word[len(word) // 2 :]) for word in words[1::2]]
    pieces = [
        *[*SPECIAL, *signs, *(f"##{sign}" for sign in signs), *string.punctuation],
        *[*FILLERS, *words[::2]],
        *(piece for begin, end in halves for piece in (begin, f"##{end}")),
    ]
    return list(dict.fromkeys(pieces))[:size]


def make_tokenizer(vocabulary_size: int = 300):
    """Build a fast tokenizer of word pieces, in lower case, as BERT has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    ids = {piece: k for k, piece in enumerate(make_vocabulary(vocabulary_size))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name.lower()[1:-1]}_token": name for name in SPECIAL},
    )


def make_tiny_model(
    folder: str | Path, *, vocabulary_size: int = 300, seed: int = 0
) -> str:
    """Write a BERT of two layers with random weights, and its tokenizer.

    Parameters
    ----------
    folder : str or Path
        Where to; it is made.
    vocabulary_size : int, default=300
        Most word pieces; 109 are needed for single letters, digits and signs.
    seed : int, default=0
        Draws the weights. Torch's generator is left as it was.

    Returns
    -------
    folder : str
        ``AutoModel.from_pretrained(folder)`` and ``AutoTokenizer.from_pretrained(
        folder)`` load from it.
    """
    from transformers import BertConfig, BertModel

    tokenizer = make_tokenizer(vocabulary_size)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_texts(
    n: int, n_classes: int = 3, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Draw texts of 3 to 40 words, and labels: each class has words of its own.

    Parameters
    ----------
    n : int
        Number of texts.
    n_classes : int, default=3
        Up to 6, each of which has about ``n / n_classes`` texts.
    seed : int, default=0
        Draws them.

    Returns
    -------
    texts : list of str
        Half of the words, one at least, are of the class; the rest say nothing.
    labels : list of str
        "card", "train", ...
    """
    rng = np.random.default_rng(seed)
    own = [topic.split() for topic in TOPICS[:n_classes]]
    texts, labels = [], []
    for code in rng.permutation(np.arange(n) % n_classes):
        size = int(np.exp(rng.uniform(np.log(3), np.log(41))))
        words = rng.choice(FILLERS, size)
        places = rng.permutation(size)[: max(size // 2, 1)]
        words = words.astype(object)
        words[places] = rng.choice(own[code], len(places))
        texts.append(" ".join(words).capitalize() + rng.choice([".", "?", " !", ""]))
        labels.append(own[code][0])
    return texts, labels


def make_sentences(n: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Draw sentences as lists of tokens, and tags of persons and places.

    Parameters
    ----------
    n : int
        Number of sentences.
    seed : int, default=0
        Draws them.

    Returns
    -------
    sentences : list of list of str
        4 to 40 tokens each.
    tags : list of list of str
        "B-PER", "I-PER", "B-LOC", "I-LOC" and "O", one a token, which the token tells.
    """
    rng = np.random.default_rng(seed)
    sentences, tags = [], []
    for _ in range(n):
        tokens: list[str] = []
        own: list[str] = []
        for _ in range(int(np.exp(rng.uniform(0, np.log(7))))):
            person = [rng.choice(FIRST_NAMES)]
            if rng.random() < 0.5:
                person.append(rng.choice(LAST_NAMES))
            place = str(rng.choice(CITIES)).split()
            between = list(rng.choice(FILLERS, rng.integers(0, 3)))
            tokens += [*person, rng.choice(VERBS), *between, *place]
            own += ["B-PER", *["I-PER"] * (len(person) - 1)]
            own += ["O"] * (1 + len(between))
            own += ["B-LOC", *["I-LOC"] * (len(place) - 1)]
        sentences.append([*map(str, tokens[:39]), "."])
        tags.append([*own[:39], "O"])
    return sentences, tags
