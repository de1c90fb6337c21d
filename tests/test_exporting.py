"""What is exported to ONNX predicts the same in another runtime."""

import builtins

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.compaction import compact
from sklearn_memgen.exporting import export_onnx

FAST = {"max_epochs": 2, "device": "cpu", "random_state": 0}


@pytest.fixture
def run():
    """Return a function that runs a file on inputs by name."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return lambda path, rows: ReferenceEvaluator(str(path)).run(None, rows)[0]

    def run_file(path, rows):
        onnx.checker.check_model(str(path))
        return InferenceSession(str(path)).run(["probabilities"], rows)[0]

    return run_file


def make_mlp(n_features, n_classes):
    return nn.Sequential(
        *(nn.Linear(n_features, 60), nn.ReLU(), nn.Linear(60, 40), nn.Tanh()),
        nn.Linear(40, n_classes if n_classes > 2 else 1),
    )


@pytest.mark.parametrize("n_classes", [2, 10])
def test_a_compacted_classifier(run, tmp_path, n_classes):
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y % n_classes
    model = NetClassifier(make_mlp, **FAST).fit(X, y)
    with torch.no_grad():
        for layer in model.net_.module_[::2]:
            layer.weight.mul_(layer.weight.abs() > layer.weight.abs().quantile(0.9))
    model = compact(model)
    assert export_onnx(model, tmp_path / "model.onnx") == ["x"]
    for n_rows in (1, 50):
        found = run(tmp_path / "model.onnx", {"x": X[:n_rows]})
        np.testing.assert_allclose(found, model.predict_proba(X[:n_rows]), atol=1e-5)


def test_a_net_that_lost_all_its_units(run, tmp_path):
    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    model = NetClassifier(make_mlp, **FAST).fit(X, y)
    with torch.no_grad():
        model.net_.module_[0].weight.zero_()
    export_onnx(compact(model), tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", {"x": X})
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-5)


def test_wide_and_deep(run, tmp_path, mixed_table):
    X, y = mixed_table
    model = WideDeepClassifier(n_members=2, **FAST).fit(X, y)
    assert export_onnx(model, tmp_path / "model.onnx", X[:3]) == ["numbers", "ids"]
    for rows in (X[:1], X[:60]):
        inputs = model.encoder_.transform(rows).inputs()
        named = {name: values.numpy() for name, values in inputs.items()}
        found = run(tmp_path / "model.onnx", named)
        np.testing.assert_allclose(found, model.predict_proba(rows), atol=1e-5)


def test_text_is_refused(run, tmp_path):
    words = np.array(["a red car", "the blue sea", "red", "a sea of cars"] * 50)
    model = WideDeepClassifier(text_features=[0], **FAST)
    model.fit(words[:, None].astype(object), np.arange(200) % 4)
    with pytest.raises(ValueError, match="columns of text"):
        export_onnx(model, tmp_path / "model.onnx", words[:3, None].astype(object))


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    X, y = load_iris(return_X_y=True)
    model = NetClassifier(make_mlp, **FAST).fit(X, y)
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnx":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"sklearn-memgen\[onnx\]"):
        export_onnx(model, tmp_path / "model.onnx")
