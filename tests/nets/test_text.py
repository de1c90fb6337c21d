"""Transformers of any architecture make vectors of texts and of tokens."""

import copy
import json
import logging
import os
import pickle
import shutil

import pytest
import torch
from torch import nn

from sklearn_memgen.nets import HeadedNet, PrototypeNet
from sklearn_memgen.nets.text import TextBody, TokenBody, sequence_net, token_net

transformers = pytest.importorskip("transformers")

ARCHITECTURES = ["Bert", "DistilBert", "Roberta", "GPT2", "T5"]
SHARED = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
}
OWN = {
    "DistilBert": {"hidden_dim": 32},
    "Roberta": {"type_vocab_size": 1},
    "GPT2": {"eos_token_id": 1, "bos_token_id": 1},
    "Bart": {"encoder_ffn_dim": 32, "decoder_layers": 1, "decoder_ffn_dim": 32}
    | {"decoder_attention_heads": 2},
    "T5": {"d_kv": 8, "d_ff": 32, "num_decoder_layers": 1},
}
NAMES = {
    "DistilBert": {"hidden_size": "dim", "num_hidden_layers": "n_layers"}
    | {"num_attention_heads": "n_heads", "intermediate_size": ""},
    "GPT2": {"hidden_size": "n_embd", "num_hidden_layers": "n_layer"}
    | {"num_attention_heads": "n_head", "intermediate_size": "n_inner"}
    | {"max_position_embeddings": "n_positions"},
    "Bart": {"hidden_size": "d_model", "num_hidden_layers": "encoder_layers"}
    | {"num_attention_heads": "encoder_attention_heads", "intermediate_size": ""},
    "T5": {"hidden_size": "d_model", "num_hidden_layers": "num_layers"}
    | {"num_attention_heads": "num_heads", "intermediate_size": ""}
    | {"max_position_embeddings": ""},
}


def make_model(architecture="Bert", seed=0):
    names = NAMES.get(architecture, {})
    params = {names.get(key, key): value for key, value in SHARED.items()}
    params.pop("", None)
    params |= OWN.get(architecture, {})
    config = getattr(transformers, f"{architecture}Config")(**params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return getattr(transformers, f"{architecture}Model")(config)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    make_model(request.param).save_pretrained(path)
    return path


def make_inputs(lengths=(3, 7, 5), longest=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 60, (len(lengths), longest), generator=generator)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids * mask + (1 - mask), "attention_mask": mask}


def n_trained(body, inputs):
    """Count the parameters that have no gradient, of all that could have one."""
    body(**inputs).square().sum().backward()
    return [n for n, p in body.named_parameters() if p.grad is None]


# Vectors


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_pooling_is_over_the_tokens_that_are_there(folder, pooling):
    body = TextBody(folder, pooling=pooling).eval()
    inputs = make_inputs()
    hidden = body.encoder(**inputs).last_hidden_state
    expected = [
        {"mean": row[:n].mean(0), "cls": row[0], "max": row[:n].max(0).values}[pooling]
        for row, n in zip(hidden, (3, 7, 5), strict=True)
    ]
    torch.testing.assert_close(body(**inputs), torch.stack(expected))
    assert body.n_features == 16


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_padding_changes_nothing(folder, pooling):
    body = TextBody(folder, pooling=pooling).eval()
    short, long = make_inputs((3, 5), 5), make_inputs((3, 5), 12)
    long["input_ids"][:, :5] = short["input_ids"]
    torch.testing.assert_close(body(**long), body(**short), atol=1e-5, rtol=1e-5)


def test_the_first_token_may_stand_behind_padding():
    body = TextBody(make_model(), pooling="cls").eval()
    inputs = make_inputs((4,), 4)
    inputs["attention_mask"][0, :2] = 0
    hidden = body.encoder(**inputs).last_hidden_state
    torch.testing.assert_close(body(**inputs)[0], hidden[0, 2])


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_row_without_tokens_is_zero_and_poisons_no_other(folder, pooling):
    body = TextBody(folder, pooling=pooling, dropout=0.0)
    body.encoder.set_attn_implementation("eager")
    inputs = make_inputs((3, 0, 5))
    features = body(**inputs)
    assert not features[1].any()
    others = {name: values[[0, 2]] for name, values in inputs.items()}
    torch.testing.assert_close(features[[0, 2]], body(**others), atol=1e-5, rtol=1e-5)
    features.sum().backward()
    grads = [p.grad for p in body.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)


def test_marked_tokens_come_row_by_row(folder):
    body = TokenBody(folder).eval()
    inputs = make_inputs()
    marked = torch.zeros(3, 7, dtype=torch.bool)
    marked[2, [1, 4]] = marked[0, 2] = marked[1, 6] = True
    hidden = body.encoder(**inputs).last_hidden_state
    expected = torch.stack([hidden[0, 2], hidden[1, 6], hidden[2, 1], hidden[2, 4]])
    torch.testing.assert_close(body(**inputs, marked=marked), expected)
    assert body(**inputs, marked=marked & False).shape == (0, 16)


def test_a_linear_layer_sets_the_number_of_features():
    inputs = make_inputs()
    body = TextBody(make_model(), n_features=5)
    assert body.n_features == 5
    assert body(**inputs).shape == (3, 5)
    body = TokenBody(make_model(), n_features=5)
    assert body(**inputs, marked=inputs["attention_mask"] > 0).shape == (15, 5)


def test_token_types_reach_models_that_have_them():
    inputs = make_inputs()
    types = torch.ones_like(inputs["input_ids"])
    bert = TextBody(make_model("Bert")).eval()
    without = bert(**inputs)
    assert not torch.allclose(bert(**inputs, token_type_ids=types), without)
    for architecture in ARCHITECTURES[1:]:
        body = TextBody(make_model(architecture)).eval()
        with_types = body(**inputs, token_type_ids=types)
        torch.testing.assert_close(with_types, body(**inputs))


@pytest.mark.parametrize(
    ("name", "limit"), [("Bert", 20), ("Roberta", 18), ("Bart", 20), ("T5", 99)]
)
def test_rows_up_to_the_longest_that_the_model_reads(name, limit):
    body = TextBody(make_model(name))
    assert body(**make_inputs((limit,), limit)).isfinite().all()
    if name == "T5":  # has no table of positions
        return
    message = f"rows of {limit + 1} tokens, but the model reads up to {limit}"
    with pytest.raises(ValueError, match=message):
        body(**make_inputs((limit + 1,), limit + 1))


# Loading


def test_weights_are_those_of_the_folder(folder):
    loaded = TextBody(folder).encoder.state_dict()
    model = transformers.AutoModel.from_pretrained(folder)
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    expected = model.state_dict()
    assert {n for n in expected if not n.startswith("pooler")} == set(loaded)
    assert all(torch.equal(loaded[name], expected[name]) for name in loaded)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_itself_is_copied(architecture):
    model = make_model(architecture).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    body = TextBody(model, dropout=0.5)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.add_(1)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not model.training
    dropouts = {m.p for m in model.modules() if isinstance(m, nn.Dropout)}
    assert dropouts <= {0.1, 0.0}


def test_a_head_of_another_task_is_left_behind():
    model = transformers.BertForMaskedLM(make_model().config)
    encoder = TextBody(model).encoder
    assert type(encoder).__name__ == "BertModel"
    assert not any(name.startswith("cls") for name, _ in encoder.named_parameters())


def test_what_is_frozen_in_a_model_stays_frozen():
    model = make_model()
    model.embeddings.requires_grad_(False)
    body = TextBody(model)
    assert not any(p.requires_grad for p in body.encoder.embeddings.parameters())
    assert all(p.requires_grad for p in body.encoder.encoder.parameters())


def test_all_parameters_learn(folder):
    """A pooling layer, say, would be pruned, guided and decayed for nothing."""
    assert n_trained(TextBody(folder), make_inputs()) == []
    marked = make_inputs()["attention_mask"] > 0
    body = TokenBody(folder, n_features=4)
    assert n_trained(body, make_inputs() | {"marked": marked}) == []


def test_weights_are_single_precision(tmp_path):
    make_model().half().save_pretrained(tmp_path)
    for pretrained in (True, False):
        body = TextBody(tmp_path, pretrained=pretrained)
        assert {p.dtype for p in body.parameters()} == {torch.float32}
    body = TextBody(make_model().bfloat16())
    assert {p.dtype for p in body.parameters()} == {torch.float32}


def test_random_weights_follow_the_seed_and_need_no_others(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)

    def draw(model, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TextBody(model, pretrained=False).state_dict()

    name = next(n for n in draw(tmp_path, 0) if "weight" in n and "norm" not in n)
    one, same, other = (draw(tmp_path, seed)[name] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    architecture = json.loads((folder / "config.json").read_text())["model_type"]
    model = make_model({a.lower(): a for a in ARCHITECTURES}[architecture], seed=1)
    assert torch.equal(draw(model, 0)[name], draw(model, 0)[name])
    trained = TextBody(model).state_dict()[name]
    assert not torch.equal(draw(model, 0)[name], trained)


def test_loading_is_quiet_and_leaves_settings_alone(tmp_path, capfd, caplog):
    transformers.BertForMaskedLM(make_model().config).save_pretrained(tmp_path)
    messages = transformers.utils.logging
    logger = logging.getLogger("transformers.modeling_utils")
    before = (messages.get_verbosity(), logger.level, list(logger.filters))
    capfd.readouterr()
    enabled = messages.is_progress_bar_enabled()
    messages.enable_progress_bar()
    try:
        TextBody(tmp_path)
        assert messages.is_progress_bar_enabled()
    finally:
        if not enabled:
            messages.disable_progress_bar()
    assert (messages.get_verbosity(), logger.level, logger.filters) == before
    assert capfd.readouterr() == ("", "")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_the_generator_is_left_as_it_was_by_weights_that_are_there(folder):
    """So that a head has the same weights in front of a folder and of a model."""
    state = torch.get_rng_state()
    TextBody(folder)
    assert torch.equal(torch.get_rng_state(), state)


# Training


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("given", ["folder", "model"])
def test_dropout_is_everywhere_or_nowhere(architecture, given, tmp_path):
    model = make_model(architecture)
    if given == "folder":
        model.save_pretrained(tmp_path)
        model = tmp_path
    inputs = make_inputs()
    for dropout, is_random in [(0.0, False), (0.3, True), (None, True)]:
        body = TextBody(model, dropout=dropout).train()
        assert torch.equal(body(**inputs), body(**inputs)) is not is_random, dropout
    body = TextBody(model, dropout=0.3)
    shares = {m.p for m in body.modules() if isinstance(m, nn.Dropout)}
    assert shares == {0.3}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_checkpoints_change_no_gradient(architecture):
    inputs = make_inputs()
    grads = []
    for checkpointing in (False, True):
        body = TextBody(
            make_model(architecture), dropout=0.0, gradient_checkpointing=checkpointing
        ).train()
        assert body.encoder.is_activation_checkpointing is checkpointing
        body(**inputs).square().sum().backward()
        grads.append([p.grad for p in body.parameters()])
    for plain, checkpointed in zip(*grads, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_copies_and_pickles_need_no_folder(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    body = TextBody(tmp_path / "model", n_features=4, gradient_checkpointing=True)
    inputs = make_inputs()
    body(**inputs)  # some models change when they are first called
    shutil.rmtree(tmp_path / "model")
    body.eval()
    for other in (copy.deepcopy(body), pickle.loads(pickle.dumps(body))):
        torch.testing.assert_close(other(**inputs), body(**inputs))
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert body(**inputs).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_moves_to_a_device_and_back(folder):
    body, inputs = TextBody(folder).eval(), make_inputs()
    before = body(**inputs)
    there = body.to("cuda")(**{name: i.to("cuda") for name, i in inputs.items()})
    torch.testing.assert_close(there.cpu(), before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(body.to("cpu")(**inputs), before)


# Nets


def test_linear_heads():
    inputs = make_inputs()
    net = sequence_net(make_model(), 4, pooling="max", n_features=6)
    assert isinstance(net, HeadedNet)
    assert net.head.in_features == 6
    assert net(**inputs).shape == (3, 4)
    net = token_net(make_model(), 2, background=0)
    assert net(**inputs, marked=inputs["attention_mask"] > 0).shape == (15, 2)


def test_prototype_heads_are_those_of_tanzer_et_al():
    inputs = make_inputs()
    net = sequence_net(make_model(), 4, head="prototype")
    assert isinstance(net, PrototypeNet)
    assert net.prototypes.shape == (4, 300)
    assert (net(**inputs) == -400).all()
    net = token_net(
        make_model(), 4, head="prototype", background=2, n_prototype_features=7
    )
    logits = net(**inputs, marked=inputs["attention_mask"] > 0)
    assert net.prototypes.shape == (4, 7)
    assert (logits[:, 2] == -4).all()
    assert (logits[:, [0, 1, 3]] == -400).all()


# Errors


def test_unknown_options_are_named():
    with pytest.raises(ValueError, match=r"pooling .*'mean', 'cls', 'max'.*'sum'"):
        TextBody(make_model(), pooling="sum")
    for make in (sequence_net, token_net):
        with pytest.raises(ValueError, match=r"head .*'linear', 'prototype'.*'crf'"):
            make(make_model(), 3, head="crf")
    with pytest.raises(TypeError, match="transformers.PreTrainedModel; got 3"):
        TextBody(3)


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install \"sklearn-memgen\[text\]\""):
        TextBody("some/model")


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"expected config\.json, found none") as info:
        TextBody(tmp_path)
    assert str(tmp_path) in str(info.value)
    make_model().config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"expected \*\.safetensors or .*found none"):
        TextBody(tmp_path)
    TextBody(tmp_path, pretrained=False)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"found \['model\.safetensors'\]"):
        TextBody(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"expected config\.json, found \['config"):
        TextBody(tmp_path)


def test_weights_that_are_not_all_there_are_not_drawn_in_silence(tmp_path):
    make_model("DistilBert").save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    make_model("Bert").config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks \d+ of the bert model's weights"):
        TextBody(tmp_path)


def test_a_hub_that_is_not_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    with pytest.raises(
        OSError, match="'some/model' is no local folder, .*give a local"
    ):
        TextBody("some/model")
