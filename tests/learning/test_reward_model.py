"""A reward model reads the last real token, knows its head from a policy's, and keeps its gain and bias."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rlhf.learning import reward_model
from rlhf.learning.policy import ModelError
from rlhf.learning.text import Encoded, right_pad
from tests.learning.rankings import CPU, new_reward_model

SEQUENCES = [Encoded(1, [5, 6, 7], [8, 9, 10, 11]), Encoded(2, [5], [12]), Encoded(3, [9, 9], [13, 14, 15])]


def test_the_score_is_the_head_at_the_last_real_token(any_model: tuple[Path, str]) -> None:
    model = reward_model.load(str(any_model[0]), CPU)
    with torch.no_grad():
        scores = reward_model.last_token_scores(model, right_pad(SEQUENCES, model.pad_id))
        for sequence, score in zip(SEQUENCES, scores, strict=True):
            ids = torch.tensor([sequence.prompt_ids + sequence.completion_ids])
            hidden = model.network.base_model(input_ids=ids)[0]
            torch.testing.assert_close(model.network.score(hidden)[0, -1, 0], score, atol=1e-5, rtol=0)


def test_padding_changes_no_score_and_no_value(any_model: tuple[Path, str]) -> None:
    model = reward_model.load(str(any_model[0]), CPU)
    longer = Encoded(9, [3] * 20, [4] * 15)
    with torch.no_grad():
        together = right_pad([*SEQUENCES, longer], model.pad_id)
        scores = reward_model.last_token_scores(model, together)
        values = reward_model.completion_values(model, together)
        for row, sequence in enumerate(SEQUENCES):
            alone = right_pad([sequence], model.pad_id)
            count = len(sequence.completion_ids)
            torch.testing.assert_close(reward_model.last_token_scores(model, alone)[0], scores[row], atol=1e-5, rtol=0)
            of_alone = reward_model.completion_values(model, alone)[0]
            torch.testing.assert_close(of_alone, values[row, :count], atol=1e-5, rtol=0)
            assert not values[row, count:].any()


def test_the_pad_id_may_be_any_token_since_masks_come_from_lengths(any_model: tuple[Path, str]) -> None:
    model = reward_model.load(str(any_model[0]), CPU)
    end = model.tokenizer.eos_token_id
    ended = [Encoded(s.row_id, s.prompt_ids, [*s.completion_ids, end]) for s in SEQUENCES]
    with torch.no_grad():
        usual = reward_model.last_token_scores(model, right_pad(ended, model.pad_id))
        with_end = reward_model.last_token_scores(model, right_pad(ended, end))
    torch.testing.assert_close(usual, with_end, atol=1e-6, rtol=0)


def test_a_value_is_read_before_the_token_that_it_precedes(llama_path: Path) -> None:
    model = reward_model.load(str(llama_path), CPU)
    one, other = Encoded(1, [5, 6, 7], [8, 9, 10]), Encoded(1, [5, 6, 7], [8, 9, 44])
    with torch.no_grad():
        values = reward_model.completion_values(model, right_pad([one, other], model.pad_id))
        ids = torch.tensor([one.prompt_ids + one.completion_ids])
        raw = model.network.score(model.network.base_model(input_ids=ids)[0])[0, :, 0]
    torch.testing.assert_close(values[0], values[1])  # the last token itself is not yet seen
    torch.testing.assert_close(values[0], raw[2:5], atol=1e-5, rtol=0)


def test_a_new_head_has_standard_deviation_one_over_the_root_of_width_plus_one(llama_path: Path) -> None:
    heads = torch.cat([reward_model.load(str(llama_path), CPU, seed).network.score.weight for seed in range(40)])
    assert heads.std().item() == pytest.approx((32 + 1) ** -0.5, rel=0.06)
    assert torch.equal(heads[0], reward_model.load(str(llama_path), CPU, 0).network.score.weight[0])


def test_dropout_is_off(gpt2_path: Path) -> None:
    model = reward_model.load(str(gpt2_path), CPU)
    batch = right_pad(SEQUENCES, model.pad_id)  # GPT-2's configuration has dropout 0.1
    one, other = reward_model.last_token_scores(model, batch), reward_model.last_token_scores(model, batch)
    assert torch.equal(one, other)


def test_weights_in_half_precision_are_loaded_as_float32(llama_path: Path, tmp_path: Path) -> None:
    folder = new_reward_model(tmp_path / "model", llama_path)
    scorer = AutoModelForSequenceClassification.from_pretrained(folder)
    scorer.to(torch.bfloat16).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    for load in (reward_model.load, reward_model.load_trained):
        assert {p.dtype for p in load(str(folder), CPU).network.parameters()} == {torch.float32}


def test_saved_and_loaded_it_keeps_head_gain_and_bias(any_model: tuple[Path, str], tmp_path: Path) -> None:
    folder = new_reward_model(tmp_path / "model", any_model[0])
    model = reward_model.load(str(folder), CPU)
    first = reward_model.load(str(any_model[0]), CPU)
    assert (model.gain, model.bias) == (2.0, 0.5)
    assert torch.equal(model.network.score.weight, first.network.score.weight)
    assert reward_model.score(model, SEQUENCES, 2) == pytest.approx(reward_model.score(first, SEQUENCES, 3), abs=1e-5)


def test_plain_transformers_reads_the_raw_score_of_a_saved_model(any_model: tuple[Path, str], tmp_path: Path) -> None:
    folder = new_reward_model(tmp_path / "model", any_model[0])
    model, plain = reward_model.load(str(folder), CPU), AutoModelForSequenceClassification.from_pretrained(folder)
    assert plain.config.pad_token_id not in (None, model.tokenizer.eos_token_id)
    end = model.tokenizer.eos_token_id
    sequences = [Encoded(s.row_id, s.prompt_ids, [*s.completion_ids, end]) for s in SEQUENCES]
    batch = right_pad(sequences, model.pad_id)
    with torch.no_grad():
        found = plain.eval()(input_ids=batch.input_ids, attention_mask=batch.token_mask.long()).logits[:, 0]
    assert found.tolist() == pytest.approx(reward_model.score(model, sequences, 8), abs=1e-5)


def test_normalised_scores_have_mean_zero_and_deviation_one(llama_path: Path) -> None:
    model = reward_model.normalise(reward_model.load(str(llama_path), CPU), [1.0, 2.0, 4.0, 9.0])
    scores = model.normalised(torch.tensor([1.0, 2.0, 4.0, 9.0], dtype=torch.float64))
    assert scores.mean().item() == pytest.approx(0, abs=1e-12)
    assert scores.std(correction=0).item() == pytest.approx(1)


@pytest.mark.parametrize("count", [3, 7, 100])
def test_scores_equal_up_to_rounding_keep_gain_one_and_get_mean_zero(llama_path: Path, count: int) -> None:
    raw = [3.25 + 1e-7 * (i % 2) for i in range(count)]
    model = reward_model.normalise(reward_model.load(str(llama_path), CPU), raw)
    assert model.gain == 1.0
    assert float(model.normalised(torch.tensor(raw, dtype=torch.float64)).abs().max()) < 1e-6


def test_a_policy_is_no_reward_model_to_score_with(any_model: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a reward model, found a model without weights for its head"):
        reward_model.load_trained(str(any_model[0]), CPU)
    folder = new_reward_model(tmp_path / "reward", any_model[0])
    model, same = reward_model.load_trained(str(folder), CPU), reward_model.load(str(folder), CPU)
    assert torch.equal(model.network.score.weight, same.network.score.weight) and model.gain == 2.0


def test_cut_weights_are_one_clear_sentence(llama_path: Path, tmp_path: Path) -> None:
    path = new_reward_model(tmp_path / "reward", llama_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="expected a decoder that can carry a reward head") as caught:
        reward_model.load(str(tmp_path / "reward"), CPU)
    assert "\n" not in str(caught.value)


def test_a_path_without_a_model_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model directory"):
        reward_model.load(str(tmp_path / "nothing"), CPU)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(ModelError, match="expected"):
        reward_model.load(str(tmp_path), CPU)
