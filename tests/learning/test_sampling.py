"""Sampling: the same completion whatever stands beside it, and `model.generate`'s text when greedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rlhf.learning import sampling
from rlhf.learning.configs import SampleConfig, SamplingConfig, TextConfig
from rlhf.learning.decoding import Decoder, Job, pick, smaller_bucket
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.noise import mix, uniform
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.sampling import Prompt, Sample, sample
from rlhf.learning.tables import SAMPLE_ROWS, read_table, sha256
from rlhf.learning.text import Encoded, encode_prompt, right_pad
from tests.learning.conftest import question

CPU = torch.device("cpu")
NEAR_TIE = 1e-4  # logits closer than this may swap between two ways to compute them


def load(any_model: tuple[Path, str], count: int = 5) -> tuple[Policy, list[Prompt]]:
    path, prompt_format = any_model
    policy = load_policy(str(path), CPU)
    text = TextConfig(prompt_format=prompt_format, max_prompt_tokens=96)  # type: ignore[arg-type]
    questions = [question(i) if i % 2 else [{"role": "user", "content": "Tea?"}] for i in range(count)]
    return policy, [Prompt(70 + i, encode_prompt(policy.tokenizer, q, text)) for i, q in enumerate(questions)]


def draw(policy: Policy, prompts: list[Prompt], **changes: int | float) -> list[Sample]:
    values = {"num_samples": 3, "temperature": 1.0, "max_new_tokens": 20, "seed": 5, "batch_size": 64}
    return sample(policy, prompts, **(values | changes))  # type: ignore[arg-type]


def first_near_tie(policy: Policy, ids: list[int], num_prompt: int) -> int:
    """How many new tokens of `ids` come before the first step whose two best logits are nearly equal."""
    with torch.no_grad():
        best = policy.model(torch.tensor([ids])).logits[0, num_prompt - 1 : -1].topk(2).values
    close = (best[:, 0] - best[:, 1] < NEAR_TIE).nonzero()
    return int(close[0]) if len(close) else len(best)


def test_greedy_equals_generate(any_model: tuple[Path, str]) -> None:
    policy, prompts = load(any_model)
    found = draw(policy, prompts, num_samples=1, temperature=0.0, max_new_tokens=24)
    for prompt, own in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt.ids])
        theirs = policy.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        sure = first_near_tie(policy, theirs[0].tolist(), len(prompt.ids))
        assert own.ids[:sure] == theirs[0, len(prompt.ids) :].tolist()[:sure]


def test_a_completion_does_not_depend_on_batch_order_or_neighbours(any_model: tuple[Path, str]) -> None:
    policy, prompts = load(any_model)
    together = {(s.prompt_id, s.sample_index): s.ids for s in draw(policy, prompts)}
    for batch_size in (1, 2, 7):
        for s in draw(policy, prompts[::-1], batch_size=batch_size):
            assert s.ids == together[s.prompt_id, s.sample_index]
    alone = draw(policy, prompts[2:3], num_samples=1)
    assert alone[0].ids == together[prompts[2].prompt_id, 0]
    assert len({tuple(ids) for ids in together.values()}) == len(together)  # and no two share their noise


def test_samples_come_in_the_order_asked_for(any_model: tuple[Path, str]) -> None:
    policy, prompts = load(any_model)
    found = draw(policy, prompts, batch_size=4)
    assert [(s.prompt_id, s.sample_index) for s in found] == [(p.prompt_id, j) for p in prompts for j in range(3)]


def test_another_seed_is_another_completion_and_the_same_seed_the_same(any_model: tuple[Path, str]) -> None:
    policy, prompts = load(any_model)
    assert draw(policy, prompts) == draw(policy, prompts)
    assert [s.ids for s in draw(policy, prompts)] != [s.ids for s in draw(policy, prompts, seed=6)]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_sampler_saw_the_trainers_log_probabilities(any_model: tuple[Path, str], temperature: float) -> None:
    policy, prompts = load(any_model)
    found = draw(policy, prompts, temperature=temperature)
    batch = right_pad([Encoded(0, prompts[i // 3].ids, s.ids) for i, s in enumerate(found)], policy.pad_id)
    with torch.no_grad():
        sums = completion_log_probabilities(policy.model, batch, temperature).sum(-1)
    assert torch.allclose(sums, torch.tensor([s.log_probability for s in found]), atol=1e-3)


def test_a_completion_ends_with_its_first_stop_token_and_only_then_is_finished(any_model: tuple[Path, str]) -> None:
    policy, prompts = load(any_model)
    stops = frozenset(range(0, 300, 4))  # a quarter of all tokens, so that rows end at many different steps
    policy = Policy(policy.model, policy.tokenizer, policy.pad_id, stops)
    found = draw(policy, prompts, num_samples=8, max_new_tokens=6)
    assert {s.finished for s in found} == {True, False}
    for s in found:
        assert not stops & set(s.ids[:-1])
        assert s.finished == (s.ids[-1] in stops) and (s.finished or len(s.ids) == 6)


def test_tokens_are_drawn_in_proportion_to_their_probabilities() -> None:
    logits = torch.tensor([0.1, 0.2, 0.0, 0.7]).log().repeat(20_000, 1)
    numbers = uniform(np.array([mix(0, i, 0) for i in range(20_000)], np.uint64), 0)
    tokens, log_probabilities = pick(logits, 1.0, numbers)
    shares = torch.bincount(tokens, minlength=4) / 20_000
    assert torch.allclose(shares, torch.tensor([0.1, 0.2, 0.0, 0.7]), atol=0.012)  # over three standard errors
    assert shares[2] == 0
    assert torch.allclose(log_probabilities.exp(), torch.tensor([0.1, 0.2, 0.0, 0.7])[tokens], atol=1e-6)


def test_the_ends_of_the_distribution_are_tokens_too() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).repeat(2, 1)
    tokens, _ = pick(logits, 1.0, np.array([2**-24, 1 - 2**-24], np.float32))
    assert tokens.tolist() == [1, 2]


def test_noise_is_uniform_and_independent_along_positions_prompts_samples_and_seeds() -> None:
    keys = np.array([mix(seed, i, j) for seed in range(4) for i in range(50) for j in range(10)], np.uint64)
    numbers = np.stack([uniform(keys, position) for position in range(20)])  # (20, 2000)
    assert numbers.min() > 0 and numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01 and abs(numbers.var() - 1 / 12) < 0.003
    correlations = np.corrcoef(numbers) - np.eye(20)
    assert np.abs(correlations).max() < 0.11  # five standard errors
    assert mix(1, 2, 3) != mix(1, 3, 2) and mix(-1, 2, 3) == mix(-1, 2, 3)


def test_buckets_shrink_to_one_in_steps_of_a_third_at_most() -> None:
    sizes = [256]
    while sizes[-1] > 1:
        sizes.append(smaller_bucket(sizes[-1]))
    assert sizes == [256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1]
    assert smaller_bucket(200) == 192 and smaller_bucket(97) == 96 and smaller_bucket(1) == 0


def test_the_kind_writes_rows_and_a_second_start_the_same_rows(
    any_model: tuple[Path, str], prompts: Callable[..., Path]
) -> None:
    path, prompt_format = any_model
    text = TextConfig(prompt_format=prompt_format, max_prompt_tokens=96, max_completion_tokens=12)  # type: ignore[arg-type]
    config = SampleConfig(model=str(path), text=text, sampling=SamplingConfig(num_samples=2, batch_size=5))
    folder = prompts(count=6)
    sampling.run(folder, config)
    rows = read_table(folder / "rows.parquet", SAMPLE_ROWS)
    assert [(row["prompt_id"], row["sample_index"]) for row in rows] == [(50 + i, j) for i in range(6) for j in (0, 1)]
    assert all(row["num_tokens"] == 12 or row["finished"] for row in rows)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["estimate", "sample", "sample", "sample"]
    assert [line["step"] for line in lines[1:]] == [5, 10, 12] and lines[0]["total_steps"] == 12
    result = json.loads((folder / "result.json").read_text())
    assert result["outputs"] == {"rows.parquet": sha256(folder / "rows.parquet")}
    for name in ("result.json", "rows.parquet"):
        (folder / name).unlink()
    sampling.run(folder, config)
    assert json.loads((folder / "result.json").read_text())["outputs"] == result["outputs"]


def test_steps_over_fixed_buffers_draw_what_the_growing_window_draws(any_model: tuple[Path, str]) -> None:
    policy, prompts = load(any_model)
    jobs = [Job(i, p.ids, mix(7, i)) for i, p in enumerate(sorted(prompts, key=lambda p: -len(p.ids)))]
    values = {"temperature": 1.0, "max_new_tokens": 24, "batch_size": 2}  # rows join, the window shifts, rows go
    with torch.no_grad():
        grown = dict(Decoder(policy, jobs, replay=False, **values).run())  # type: ignore[arg-type]
        fixed = Decoder(policy, jobs, replay=True, **values)  # type: ignore[arg-type]
        replayed = dict(fixed.run())
    assert fixed.replay and fixed.step is not None
    assert [replayed[i].ids for i in range(len(jobs))] == [grown[i].ids for i in range(len(jobs))]
    for i, done in grown.items():
        assert abs(done.log_probability - replayed[i].log_probability) < 1e-3


def test_half_precision_is_a_copy_for_steps_over_fixed_buffers(llama_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    before = {name: weight.clone() for name, weight in policy.model.named_parameters()}
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        decoder = Decoder(policy, [Job(0, [5, 6, 7], 1)], temperature=1.0, max_new_tokens=4, batch_size=1, replay=True)
        ((_, drawn),) = decoder.run()
    copied = decoder.policy.model
    assert {weight.dtype for weight in copied.parameters()} == {torch.bfloat16} and drawn.ids
    assert len(list(copied.parameters())) == len(before)  # tied weights are still one
    for name, weight in policy.model.named_parameters():
        assert weight.dtype == torch.float32 and torch.equal(weight, before[name])
