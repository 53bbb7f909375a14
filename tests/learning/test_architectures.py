"""Seven architectures go through every stage, and what is saved loads with the plain classes of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf.learning import ppo, reward, sft
from rlhf.learning.attention import NAME, can_pack
from rlhf.learning.configs import EngineConfig, OptimizerConfig, PPOConfig, SFTConfig, TextConfig
from rlhf.learning.forward import predicting_logits
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.reward_model import load_trained, score
from rlhf.learning.sampling import Prompt, sample
from rlhf.learning.tables import DEMONSTRATIONS, write_table
from rlhf.learning.text import Encoded, encode, left_pad, right_pad, stop_ids
from tests.learning.architectures import NAMES, random_model, saved
from tests.learning.conftest import answer, demonstration_rows, question
from tests.learning.rankings import metric_lines, prompts_folder, rankings_folder, reward_config, text_config

CPU = torch.device("cpu")


@pytest.fixture(params=NAMES)
def model_of_kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    return saved(request.param, tmp_path / "model")


def test_sft_reward_and_ppo_run_and_their_models_load_plainly(model_of_kind: tuple[Path, str], tmp_path: Path) -> None:
    path, prompt_format = model_of_kind
    text = text_config(prompt_format, 12)
    optimizer = OptimizerConfig(learning_rate=3e-3)
    write_table(tmp_path / "sft/data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(16, 4))
    sft.run(
        tmp_path / "sft",
        SFTConfig(model=str(path), text=text, optimizer=optimizer, batch_size=4, micro_batch_size=4, num_epochs=2),
    )
    losses = [line["loss"] for line in metric_lines(tmp_path / "sft")]
    assert losses[-1] < losses[0]
    policy = tmp_path / "sft/model"
    reward.run(rankings_folder(tmp_path / "rm", 12, 2), reward_config(policy, prompt_format, num_epochs=1))
    config = PPOConfig(
        model=str(policy),
        sft_model=str(policy),
        reward_model=str(tmp_path / "rm/model"),
        text=text,
        optimizer=optimizer,
        engine=EngineConfig(checkpoint_every=0),
        num_iterations=2,
        rollouts_per_iteration=8,
        minibatch_size=4,
        micro_batch_size=4,
    )
    ppo.run(prompts_folder(tmp_path / "ppo"), config)
    first = metric_lines(tmp_path / "ppo")[0]
    assert first["first_ratio"] == 1 and first["kl"] == 0 and first["sampler_gap"] < 1e-3
    for saved_policy in (policy, tmp_path / "ppo/model"):
        plain_logits_are_ours(saved_policy, text)
    for saved_scorer in (tmp_path / "rm/model", tmp_path / "ppo/value"):
        plain_scores_are_ours(saved_scorer, text)


def sequences(tokenizer: PreTrainedTokenizerBase, text: TextConfig) -> list[Encoded]:
    """Prompts longer than every sliding window, answers of one to a dozen tokens, the first two of one prompt."""
    found = [encode(tokenizer, i, question(i // 2), ("Yes", answer(i), "")[i % 3], text) for i in range(6)]
    assert min(len(row.prompt_ids) for row in found) > 9 and len({row.length for row in found}) > 3
    return found


def plain_logits_are_ours(path: Path, text: TextConfig) -> None:
    plain, ours = AutoModelForCausalLM.from_pretrained(path).eval(), load_policy(str(path), CPU)
    assert can_pack(ours.model) and plain.config._attn_implementation != NAME
    ties = plain.config.tie_word_embeddings
    assert ties == (plain.get_input_embeddings().weight is plain.get_output_embeddings().weight)
    rows = sequences(ours.tokenizer, text)
    found = predicting_logits(ours.model, right_pad(rows, ours.pad_id))
    expected = torch.cat(
        [plain(torch.tensor([r.prompt_ids + r.completion_ids])).logits[0, len(r.prompt_ids) - 1 : -1] for r in rows]
    )
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    prompts = [Prompt(r.row_id, r.prompt_ids) for r in rows[::2]]  # lengths differ: theirs are padded on the left
    drawn = sample(ours, prompts, num_samples=1, temperature=0.0, max_new_tokens=8, seed=0, batch_size=8)
    left = left_pad([p.ids for p in prompts], ours.pad_id)
    theirs = plain.generate(
        left.input_ids, attention_mask=left.attention_mask, do_sample=False, max_new_tokens=8, pad_token_id=ours.pad_id
    )[:, left.input_ids.shape[1] :].tolist()
    assert [s.ids for s in drawn] == [ids[: len(s.ids)] for s, ids in zip(drawn, theirs, strict=True)]


def plain_scores_are_ours(path: Path, text: TextConfig) -> None:
    plain, ours = AutoModelForSequenceClassification.from_pretrained(path).eval(), load_trained(str(path), CPU)
    assert plain.config.num_labels == 1 and plain.config.pad_token_id not in stop_ids(ours.tokenizer)
    rows = sequences(ours.tokenizer, text)
    batch = right_pad(rows, ours.pad_id)
    expected = plain(input_ids=batch.input_ids, attention_mask=batch.token_mask.long()).logits[:, 0].detach()
    found = torch.tensor(score(ours, rows, 4))
    assert expected.std() > 1e-2 and plain.config.hone_reward_gain != 1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    normalised = ours.normalised(found.double())
    line = plain.config.hone_reward_gain * expected + plain.config.hone_reward_bias
    torch.testing.assert_close(normalised, line.double(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_join_late_or_stay_longest_are_what_generate_writes(name: str) -> None:
    model = random_model(name)
    prompts = [Prompt(i, [(7 * i + 3 * j) % 100 + 10 for j in range(5 + 4 * (i % 4))]) for i in range(7)]
    free = [greedy(model, prompt, [1]) for prompt in prompts]
    ends = sorted({ids[(5 * i + 3) % len(ids)] for i, ids in enumerate(free)})  # so that rows end at different steps
    theirs = [greedy(model, prompt, ends) for prompt in prompts]
    model.set_attn_implementation(NAME)
    policy = Policy(model=model, tokenizer=None, pad_id=0, stop_ids=frozenset(ends))  # type: ignore[arg-type]
    for batch_size in (2, 3, 16):
        found = sample(
            policy, prompts, num_samples=1, temperature=0.0, max_new_tokens=20, seed=0, batch_size=batch_size
        )
        assert [s.ids for s in found] == theirs


def greedy(model: PreTrainedModel, prompt: Prompt, ends: list[int]) -> list[int]:
    ids = torch.tensor([prompt.ids])
    found = model.generate(ids, do_sample=False, max_new_tokens=20, eos_token_id=ends, pad_token_id=0)
    written: list[int] = found[0, len(prompt.ids) :].tolist()
    return written
