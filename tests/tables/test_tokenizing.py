"""Tokenizers are found, or it is said what is missing; texts become ids in batches."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sklearn_memgen.tables import tokenizing
from sklearn_memgen.tables.tokenizing import (
    check_max_length,
    is_byte_level,
    load_tokenizer,
    padding_id_of,
    tokenize,
)
from tests.tiny_text import make_texts, make_tokenizer

transformers = pytest.importorskip("transformers")


def test_transformers_is_imported_only_when_used():
    """Who has tables only neither needs it nor waits for it."""
    script = """
import sys, sklearn_memgen
assert not {"transformers", "tokenizers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


# --- loading ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_local_folder(tiny_model, kind):
    loaded = load_tokenizer(kind(tiny_model))
    assert loaded.is_fast and loaded("my card")["input_ids"][0] == loaded.cls_token_id


def test_tokenizer_is_copied():
    """What an encoder does to it does not reach the user's, and the other way round."""
    given = make_tokenizer()
    loaded = load_tokenizer(given)
    given.add_tokens(["xylophone"])
    given.pad_token_id = 3
    assert len(loaded) == len(given) - 1 and loaded.pad_token_id == 0


def test_without_transformers(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install \"sklearn-memgen\[text\]\""):
        load_tokenizer(tiny_model)


def test_folder_without_anything(tmp_path):
    with pytest.raises(ValueError, match="expected tokenizer.json, found no") as caught:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(caught.value) and caught.value.__cause__ is not None


def test_folder_with_a_model_only(tiny_model, tmp_path):
    """Transformers makes a BERT tokenizer of it to which all words are unknown."""
    for path in Path(tiny_model).iterdir():
        if not path.name.startswith("tokenizer"):
            shutil.copy(path, tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    with pytest.raises(ValueError, match=r"expected tokenizer.json or vocab.txt"):
        load_tokenizer(str(tmp_path))


def test_folder_with_a_broken_tokenizer(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    broken = tmp_path / "model" / "tokenizer.json"
    broken.write_text(broken.read_text()[:200])
    with pytest.raises(ValueError, match=r"can be read.*found \['tokenizer.json'"):
        load_tokenizer(tmp_path / "model")


@pytest.mark.parametrize("name", ["nobody/no-such-model", "/no/such/folder", "a b"])
def test_what_the_hub_does_not_give(name):
    with pytest.raises(
        OSError, match="Hugging Face hub could not be reached"
    ) as caught:
        load_tokenizer(name)
    assert repr(name) in str(caught.value) and "local folder" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


# --- what tokenizers say of themselves ----------------------------------------


def test_length_is_one_that_the_model_reads():
    tokenizer = make_tokenizer()
    check_max_length(tokenizer, 64, 2)
    with pytest.raises(ValueError, match="max_length=65 is more than the 64 tokens"):
        check_max_length(tokenizer, 65, 2)
    with pytest.raises(ValueError, match="max_length=2 leaves no place.*2 special"):
        check_max_length(tokenizer, 2, 2)
    tokenizer.model_max_length = int(1e30)  # as transformers says that any will do
    check_max_length(tokenizer, 10**6, 2)


def test_padding_of_models_that_know_none():
    tokenizer = make_tokenizer()
    assert padding_id_of(tokenizer) == 0
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    assert padding_id_of(tokenizer) == 3
    tokenizer.eos_token = None
    assert padding_id_of(tokenizer) == 0


def test_byte_level():
    from tokenizers import pre_tokenizers as pre

    tokenizer = make_tokenizer()
    assert not is_byte_level(tokenizer)
    for kind in (
        pre.ByteLevel(add_prefix_space=False),
        pre.Sequence([pre.Digits(), pre.ByteLevel(add_prefix_space=False)]),
    ):
        tokenizer.backend_tokenizer.pre_tokenizer = kind
        assert is_byte_level(tokenizer)


# --- batches ------------------------------------------------------------------


@pytest.mark.parametrize("paired", [False, True])
def test_batches_do_not_show(paired, monkeypatch):
    """Texts of one batch and of many give the same, a text larger than a batch too."""
    texts = make_texts(50)[0] + ["of " * 400] + make_texts(50, seed=1)[0]
    pairs = texts[::-1] if paired else None
    tokenizer = make_tokenizer()
    whole = tokenize(tokenizer, texts, pairs, max_length=40)
    sizes = []

    def watched(*parts, **options):
        sizes.append(len(parts[0]))
        return tokenizer(*parts, **options)

    for name in ("pad_token_id", "eos_token_id"):
        setattr(watched, name, getattr(tokenizer, name))
    monkeypatch.setattr(tokenizing, "_BATCH_CHARACTERS", 300)
    monkeypatch.setattr(tokenizing, "_TEXT_CHARACTERS", 30)
    parts = tokenize(watched, texts, pairs, max_length=40)
    assert sum(sizes) == len(texts) and len(sizes) > 20 and max(sizes) <= 10
    assert torch.equal(parts.ids, whole.ids)
    assert torch.equal(parts.starts, whole.starts)
    assert (parts.types is None) == (not paired)
    assert not paired or torch.equal(parts.types, whole.types)


def test_no_texts():
    """As where no sentence has a word."""
    tokens = tokenize(make_tokenizer(), [], max_length=8)
    assert len(tokens) == len(tokens.ids) == 0
