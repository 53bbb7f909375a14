"""Log-probabilities are those of the model's own logits, padding changes no number, and saving loses nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Gemma2Config, Gemma2ForCausalLM

from rlhf.learning.configs import TextConfig
from rlhf.learning.forward import (
    completion_log_probabilities,
    completion_log_probabilities_and_entropy,
    of_tokens,
    predicting_logits,
)
from rlhf.learning.policy import ModelError, Policy, attention_for, load_policy, require_room, save_policy
from rlhf.learning.tables import sha256
from rlhf.learning.text import Encoded, right_pad

CPU = torch.device("cpu")
ROWS = [Encoded(0, [11, 12, 13], [14, 15]), Encoded(1, [21], [22, 23, 24, 25, 26]), Encoded(2, [31, 32], [33])]


def load(any_model: tuple[Path, str]) -> Policy:
    return load_policy(str(any_model[0]), CPU)


@torch.no_grad()
def test_log_probabilities_are_those_of_the_whole_forward(any_model: tuple[Path, str]) -> None:
    policy = load(any_model)
    found, entropy = completion_log_probabilities_and_entropy(policy.model, right_pad(ROWS, policy.pad_id), 0.7)
    for row, encoded in enumerate(ROWS):
        ids = torch.tensor([encoded.prompt_ids + encoded.completion_ids])
        everywhere = (policy.model(ids).logits.double()[0] / 0.7).log_softmax(-1)
        for j, token in enumerate(encoded.completion_ids):
            distribution = everywhere[len(encoded.prompt_ids) + j - 1]
            assert abs(float(found[row, j] - distribution[token])) < 1e-5
            assert abs(float(entropy[row, j] + (distribution.exp() * distribution).sum())) < 1e-5
        assert not found[row, len(encoded.completion_ids) :].any()


def test_logits_in_half_precision_are_normalised_in_float32() -> None:
    logits = 10 * torch.randn(40, 2000, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    targets = torch.arange(40)
    expected = (logits.double() / 0.7).log_softmax(-1)
    entropy = -(expected.exp() * expected).sum(-1)
    for with_entropy in (False, True):
        found, entropies = of_tokens(logits, targets, 0.7, with_entropy)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected[targets, targets], atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(entropies.double(), entropy, atol=1e-5, rtol=1e-5)


def test_padding_changes_no_number(any_model: tuple[Path, str]) -> None:
    policy = load(any_model)
    together = predicting_logits(policy.model, right_pad(ROWS, policy.pad_id))
    alone = torch.cat([predicting_logits(policy.model, right_pad([row], policy.pad_id)) for row in ROWS])
    assert (together - alone).abs().max() < 1e-4
    end = min(policy.stop_ids)
    assert torch.equal(together, predicting_logits(policy.model, right_pad(ROWS, end)))  # pad = end-of-text, forced


def test_gradients_do_not_see_padding(any_model: tuple[Path, str]) -> None:
    policy = load(any_model)
    gradients = []
    for batches in ([right_pad(ROWS, policy.pad_id)], [right_pad([row], policy.pad_id) for row in ROWS]):
        policy.model.zero_grad()
        for batch in batches:
            completion_log_probabilities(policy.model, batch).sum().backward()
        gradients.append([p.grad.clone() for p in policy.model.parameters() if p.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*gradients, strict=True))


def test_a_soft_cap_behind_the_output_layer_is_applied(tmp_path: Path, llama_path: Path) -> None:
    config = Gemma2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        final_logit_softcapping=0.01,
        eos_token_id=3,
    )
    shutil.copytree(llama_path, tmp_path / "gemma2", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    Gemma2ForCausalLM(config).save_pretrained(tmp_path / "gemma2")
    assert attention_for(str(tmp_path / "gemma2"), torch.device("cuda")) == "eager"
    policy = load_policy(str(tmp_path / "gemma2"), CPU)
    logits = predicting_logits(policy.model, right_pad(ROWS, policy.pad_id))
    assert logits.abs().max() <= 0.01


def test_half_precision_weights_are_loaded_as_float32_and_dropout_is_off(tmp_path: Path, gpt2_path: Path) -> None:
    shutil.copytree(gpt2_path, tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(gpt2_path).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    policy = load_policy(str(tmp_path / "half"), CPU)
    assert {p.dtype for p in policy.model.parameters()} == {torch.float32}
    assert policy.model.config.resid_pdrop > 0 and not any(m.training for m in policy.model.modules())


def test_equal_weights_are_saved_as_equal_bytes_and_load_plainly(any_model: tuple[Path, str], tmp_path: Path) -> None:
    policy = load(any_model)
    save_policy(policy, tmp_path / "a")
    save_policy(load_policy(str(tmp_path / "a"), CPU), tmp_path / "b")
    save_policy(policy, tmp_path / "b")  # over an older one
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all(sha256(tmp_path / "a" / name) == sha256(tmp_path / "b" / name) for name in names)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    ids = torch.tensor([[11, 12, 13]])
    assert torch.allclose(plain(ids).logits, policy.model(ids).logits, atol=1e-5)


def test_a_tokenizer_with_several_chat_templates_is_saved_with_all_of_them(llama_path: Path, tmp_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    templates = {"default": "a", "tool_use": "b"}
    policy.tokenizer.chat_template = templates
    save_policy(policy, tmp_path / "saved")
    assert load_policy(str(tmp_path / "saved"), CPU).tokenizer.chat_template == templates


def test_a_tokenizer_without_end_of_text_is_refused(llama_path: Path, tmp_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    policy.tokenizer.eos_token = None
    save_policy(policy, tmp_path / "endless")
    with pytest.raises(ModelError, match="endless: found a tokenizer without an end-of-text token"):
        load_policy(str(tmp_path / "endless"), CPU)


def _remove_weights(path: Path) -> None:
    (path / "model.safetensors").unlink()


def _cut_weights(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _break_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").write_text("{")


def _break_config(path: Path) -> None:
    (path / "config.json").write_text("{")


def _forget_architecture(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"model_type": "unheard_of"}))


@pytest.mark.parametrize(
    "damage", [_remove_weights, _cut_weights, _break_tokenizer, _break_config, _forget_architecture]
)
def test_a_broken_model_is_one_sentence(damage: Callable[[Path], None], llama_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(llama_path, path)
    damage(path)
    with pytest.raises(ModelError, match=str(path)) as caught:
        load_policy(str(path), CPU)
    assert "\n" not in str(caught.value)


def test_no_such_path_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model directory"):
        load_policy(str(tmp_path / "nothing"), CPU)


def test_a_model_without_a_language_head_is_refused_and_not_made_up(llama_path: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_path, tmp_path / "scorer")
    scorer = AutoModelForSequenceClassification.from_pretrained(llama_path, num_labels=1, tie_word_embeddings=False)
    scorer.save_pretrained(tmp_path / "scorer")
    with pytest.raises(ModelError, match="found no weights for"):
        load_policy(str(tmp_path / "scorer"), CPU)


def test_texts_longer_than_the_model_are_refused(gpt2_path: Path) -> None:
    policy = load_policy(str(gpt2_path), CPU)
    require_room(policy.model, TextConfig(max_prompt_tokens=100, max_completion_tokens=60))
    with pytest.raises(ModelError, match="expected at most the 160 positions.*found 161"):
        require_room(policy.model, TextConfig(max_prompt_tokens=100, max_completion_tokens=61))
