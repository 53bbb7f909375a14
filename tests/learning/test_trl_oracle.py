"""The losses of TRL 1.16 on the same tokens and weights: reward model, DPO, IPO, KTO, GRPO and RLOO, to 1e-5.

TRL's trainers are built on a throwaway data set, and then asked for the loss of a batch of ours, which their own
collators lay out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trl
from accelerate import Accelerator
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from trl.trainer.dpo_trainer import DataCollatorForPreference as DPOCollator
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference as KTOCollator
from trl.trainer.reward_trainer import DataCollatorForPreference as RewardCollator

from rlhf.learning import dpo, reward_model
from rlhf.learning.advantages import group_advantages
from rlhf.learning.configs import DPOConfig
from rlhf.learning.dpo import Networks, log_ratios
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.grpo import token_weights
from rlhf.learning.losses import grpo_loss, rloo_loss
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.preference_losses import pairwise_loss
from rlhf.learning.rankings import RankingBatch, collate, encode_rankings
from rlhf.learning.text import Encoded, right_pad
from tests.learning.rankings import CPU, ranking_rows, read_by, text_config

TOLERANCE = 1e-5


def _arguments(kind: type, folder: Path, **values: Any) -> Any:
    return kind(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
        per_device_train_batch_size=4,
        **values,
    )


def _pairs(tokenizer: Any, margin: str = "off") -> list[Any]:
    """Five rankings of two, as tokens, with strengths 0 to 4."""
    rows = [
        row
        | {"completions": row["completions"][1:3], "completion_ids": [1, 2], "ranks": [1, 2], "weight": 1.0}
        | {"strength": i, "strength_scale": "four" if i else ""}
        for i, row in enumerate(ranking_rows(5))
    ]
    return encode_rankings(read_by(tokenizer, text_config("chat")), rows, margin)


def _weights(batch: RankingBatch) -> Tensor:
    return batch.pair_weights / batch.pair_weights.sum()


@pytest.mark.parametrize("margin", ["off", "large"])
def test_the_reward_models_loss_is_trls(margin: str, llama_path: Path, tmp_path: Path) -> None:
    model = reward_model.load(str(llama_path), CPU)
    encoded = _pairs(model.tokenizer, margin)
    train = Dataset.from_list([{"chosen": "yes", "rejected": "no"}] * 4)
    trainer = trl.RewardTrainer(
        model.network,
        args=_arguments(trl.RewardConfig, tmp_path),
        train_dataset=train,
        processing_class=model.tokenizer,
    )
    examples: list[dict[str, Any]] = [
        {"chosen_ids": _ids(r.sequences[0]), "rejected_ids": _ids(r.sequences[1])} for r in encoded
    ]
    if margin != "off":
        examples = [e | {"margin": r.margins[0]} for e, r in zip(examples, encoded, strict=True)]
        assert [e["margin"] for e in examples] == [0, 0, 1, 2, 3]
    inputs = RewardCollator(pad_token_id=model.pad_id)(examples)
    expected = trainer.compute_loss(trainer.model.eval(), dict(inputs))
    batch = collate(encoded, model.pad_id)
    scores = reward_model.last_token_scores(model, batch.batch)
    found = pairwise_loss(scores, batch.winners, batch.losers, _weights(batch), batch.margins)
    assert found.item() == pytest.approx(expected.item(), abs=TOLERANCE)


def _ids(sequence: Encoded) -> list[int]:
    return sequence.prompt_ids + sequence.completion_ids


def _networks(path: Path) -> Networks:
    """A policy that has moved away from its reference."""
    policy, reference = load_policy(str(path), CPU), load_policy(str(path), CPU).model
    with torch.no_grad():
        for number, parameter in enumerate(policy.model.parameters()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    return Networks(policy, reference)


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_the_loss_of_dpo_and_ipo_is_trls(loss: str, llama_path: Path, tmp_path: Path) -> None:
    networks = _networks(llama_path)
    encoded = _pairs(networks.policy.tokenizer)
    trainer = trl.DPOTrainer(
        networks.policy.model,
        ref_model=networks.reference,
        args=_arguments(trl.DPOConfig, tmp_path, beta=0.3, loss_type=["sigmoid" if loss == "dpo" else "ipo"]),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": " yes", "rejected": " no"}] * 4),
        processing_class=networks.policy.tokenizer,
    )
    examples = [
        {
            "prompt_ids": r.sequences[0].prompt_ids,
            "chosen_ids": r.sequences[0].completion_ids,
            "rejected_ids": r.sequences[1].completion_ids,
        }
        for r in encoded
    ]
    inputs = DPOCollator(pad_token_id=networks.policy.pad_id)(examples)
    expected = trainer.compute_loss(trainer.model.eval(), dict(inputs))
    config = DPOConfig(model=str(llama_path), beta=0.3, loss=loss)  # type: ignore[arg-type]
    found = _direct_loss(networks, encoded, 0.0, config)
    assert found == pytest.approx(expected.item(), abs=TOLERANCE)


def _direct_loss(networks: Networks, encoded: list[Any], kl: float, config: DPOConfig) -> float:
    batch = collate(encoded, networks.policy.pad_id)
    ratios = log_ratios(networks, batch.batch, of_mean=config.loss == "ipo")
    assert ratios.abs().min() > 1e-3
    return (dpo.loss_of(ratios, batch, kl, config) / len(encoded)).item()


@pytest.mark.parametrize("swapped", [False, True])
def test_the_loss_of_kto_is_trls(swapped: bool, llama_path: Path, tmp_path: Path) -> None:
    """With policy and reference swapped, the reference point is above 0."""
    networks = _networks(llama_path)
    if swapped:
        networks = Networks(replace(networks.policy, model=networks.reference), networks.policy.model)
    encoded = _pairs(networks.policy.tokenizer)
    trainer = trl.KTOTrainer(
        networks.policy.model,
        ref_model=networks.reference,
        args=_arguments(trl.KTOConfig, tmp_path, beta=0.3, desirable_weight=1.5, undesirable_weight=0.5),
        train_dataset=Dataset.from_list([{"prompt": "a", "completion": " yes", "label": i < 2} for i in range(4)]),
        processing_class=networks.policy.tokenizer,
    )
    sequences = [sequence for ranking in encoded for sequence in ranking.sequences]
    shifted = [sequences[-1], *sequences[:-1]]
    examples = [
        {
            "prompt_ids": sequence.prompt_ids,
            "completion_ids": sequence.completion_ids,
            "KL_completion_ids": other.completion_ids,
            "label": place % 2 == 0,
        }
        for place, (sequence, other) in enumerate(zip(sequences, shifted, strict=True))
    ]
    inputs = KTOCollator(pad_token_id=networks.policy.pad_id)(examples)
    expected = trainer.compute_loss(trainer.model.eval(), dict(inputs)).item()
    of_others = [
        Encoded(0, sequence.prompt_ids, other.completion_ids)
        for sequence, other in zip(sequences, shifted, strict=True)
    ]
    config = DPOConfig(
        model=str(llama_path), beta=0.3, loss="kto", desirable_weight=1.5, undesirable_weight=0.5, micro_batch_size=32
    )
    kl = dpo.reference_point(networks, of_others, config)
    assert (kl > 0) == swapped
    assert _direct_loss(networks, encoded, kl, config) == pytest.approx(expected, abs=TOLERANCE)


def _rollouts(policy: Policy) -> Any:
    encoded = encode_rankings(read_by(policy.tokenizer, text_config("chat")), ranking_rows(2))
    return right_pad([sequence for ranking in encoded for sequence in ranking.sequences], policy.pad_id)


def _of_trl(batch: Any, tensors: dict[str, Tensor], loss_type: str, beta: float) -> Any:
    """What TRL's `_compute_loss` reads of its trainer, with our log-probabilities in place of a forward."""
    found = tensors["new"], torch.zeros_like(tensors["new"])
    return SimpleNamespace(
        model=torch.nn.Linear(1, 1).eval(),
        accelerator=Accelerator(cpu=True),
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        _get_per_token_logps_and_entropies=lambda *a, **k: (*found, None),
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=beta,
        loss_type=loss_type,
        epsilon_low=0.2,
        epsilon_high=0.2,
        use_vllm=False,
        current_gradient_accumulation_steps=1,
        max_completion_length=24,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
    )


@pytest.mark.parametrize(("loss_type", "average"), [("grpo", "completion"), ("bnpo", "token"), ("dapo", "token")])
def test_the_loss_of_grpo_is_trls(loss_type: str, average: str, llama_path: Path) -> None:
    networks = _networks(llama_path)
    batch = _rollouts(networks.policy)
    tensors = _log_probabilities(networks, batch)
    gains = group_advantages(torch.arange(8.0).square(), 4, leave_one_out=False, scale=True)
    inputs = {
        "prompt_ids": batch.input_ids[:, :1],
        "prompt_mask": torch.ones(8, 1),
        "completion_ids": batch.completion_ids,
        "completion_mask": batch.completion_mask.long(),
        "advantages": gains,
        "old_per_token_logps": tensors["old"],
        "ref_per_token_logps": tensors["reference"],
        "num_items_in_batch": batch.completion_mask.sum(),
    }
    trainer = _of_trl(batch, tensors, loss_type, beta=0.3)
    expected = trl.GRPOTrainer._compute_loss(trainer, None, inputs).item()
    weights = token_weights(batch.completion_mask, list(range(8)), average)
    found = grpo_loss(
        tensors["new"], tensors["old"], tensors["reference"], gains, batch.completion_mask, weights, 0.2, 0.3, "k3"
    )
    assert found.clip_fraction > 0.05 and found.loss.item() == pytest.approx(expected, abs=TOLERANCE)


def test_the_loss_of_rloo_is_trls(llama_path: Path) -> None:
    networks = _networks(llama_path)
    batch = _rollouts(networks.policy)
    tensors = _log_probabilities(networks, batch)
    gains = group_advantages(torch.arange(8.0), 4, leave_one_out=True, scale=False)
    inputs = {
        "prompt_ids": batch.input_ids[:, :1],
        "prompt_mask": torch.ones(8, 1),
        "completion_ids": batch.completion_ids,
        "completion_mask": batch.completion_mask.long(),
        "advantages": gains,
        "old_logps": (tensors["old"] * batch.completion_mask).sum(1),
    }
    trainer = _of_trl(batch, tensors, "rloo", beta=0.0)
    expected = trl.RLOOTrainer._compute_loss(trainer, None, inputs).item()
    found = rloo_loss(tensors["new"], tensors["old"], gains, batch.completion_mask, 0.2, 8)
    assert found.clip_fraction > 0 and found.loss.item() == pytest.approx(expected, abs=TOLERANCE)


def _log_probabilities(networks: Networks, batch: Any) -> dict[str, Tensor]:
    """By the forwards of policy and reference; the old ones lie beyond, so that some ratios are clipped."""
    with torch.no_grad():
        new = completion_log_probabilities(networks.policy.model, batch)
        reference = completion_log_probabilities(networks.reference, batch)
    return {"new": new, "reference": reference, "old": new + 3 * (reference - new)}


def test_plain_transformers_gives_the_log_probabilities_that_all_of_these_start_from(llama_path: Path) -> None:
    networks = _networks(llama_path)
    batch = _rollouts(networks.policy)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(llama_path).eval()
    assert AutoTokenizer.from_pretrained(llama_path).eos_token_id == networks.policy.tokenizer.eos_token_id
    with torch.no_grad():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.token_mask.long()).logits.double()
    found = _log_probabilities(networks, batch)["reference"]
    for row in range(8):
        start, end = int(batch.prompt_lengths[row]), int(batch.lengths[row])
        of_tokens = logits[row, start - 1 : end - 1].log_softmax(-1)
        expected = of_tokens.gather(1, batch.input_ids[row, start:end, None])[:, 0]
        torch.testing.assert_close(found[row, : end - start].double(), expected, atol=1e-5, rtol=0)
