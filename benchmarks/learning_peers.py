"""The peers of benchmarks/learning.py, in an environment of their own: TRL's trainers, and transformers' `generate`.

    PYTHON_OF_THE_ENVIRONMENT -m benchmarks.learning_peers JOB.json

Knows nothing of ours. Everything that we switch on is switched on here too where it exists: threads, precision, the
faster of the two attentions that a CPU has, and data that is tokens already.
"""

# ruff: noqa: PLC0415 - each stage imports the one trainer that its environment has.
from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from transformers.utils import logging

from benchmarks.learning_clock import Clock

Job = dict[str, Any]


class StepEnds(TrainerCallback):
    """Tells the clock the end of every step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.clock.mark()


def trainer_arguments(job: Job, folder: Path) -> Job:
    return {
        "output_dir": str(folder / "out"),
        "seed": job["seed"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-8,
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "use_cpu": job["device"] == "cpu",
        "bf16": job["precision"] == "bfloat16",
        "gradient_checkpointing": False,
    }


def policy(job: Job) -> Any:
    return AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32, attn_implementation=job["attention"])


def scorer(job: Job, path: str) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=torch.float32, attn_implementation=job["attention"]
    )


def run_sft(job: Job, folder: Path, clock: Clock) -> Job:
    from trl import SFTConfig, SFTTrainer

    rows = json.loads((folder / "tokens.json").read_text())
    train = [
        {
            "input_ids": row["prompt"] + row["completion"],
            "completion_mask": [0] * len(row["prompt"]) + [1] * len(row["completion"]),
        }
        for row in rows
        if row["split"] == "train"
    ]
    model = policy(job)
    arguments = trainer_arguments(job, folder) | {
        "num_train_epochs": 1,
        "per_device_train_batch_size": job["batch_size"],
        "completion_only_loss": True,
        "max_length": None,
        "packing": False,
    }
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_list(train),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        callbacks=[StepEnds(clock)],
    )
    trainer.train()
    return {"quality": held_out_loss(model.eval(), rows), "quality_name": "held-out loss, nats a token"}


@torch.no_grad()
def held_out_loss(model: Any, rows: list[Job]) -> float:
    total, count = 0.0, 0
    for row in rows:
        if row["split"] == "train":
            continue
        ids = torch.tensor([row["prompt"] + row["completion"]], device=model.device)
        logits = model(ids).logits[0, len(row["prompt"]) - 1 : -1].float()
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, len(row["prompt"]) :], reduction="sum"))
        count += len(row["completion"])
    return total / count


def run_reward(job: Job, folder: Path, clock: Clock) -> Job:
    from trl import RewardConfig, RewardTrainer

    rows = json.loads((folder / "tokens.json").read_text())
    train = [
        {
            "chosen_ids": row["chosen"],
            "rejected_ids": row["rejected"],
        }
        for row in rows
        if row["split"] == "train"
    ]
    torch.manual_seed(job["seed"])
    model = scorer(job, job["model"])
    torch.nn.init.normal_(model.score.weight, std=(model.config.hidden_size + 1) ** -0.5)
    arguments = trainer_arguments(job, folder) | {
        "num_train_epochs": 1,
        "per_device_train_batch_size": job["batch_size"] * job["pairs_per_ranking"],
        "max_length": None,
    }
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**arguments),
        train_dataset=Dataset.from_list(train),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        callbacks=[StepEnds(clock)],
    )
    trainer.train()
    return {"quality": held_out_accuracy(model.eval(), rows), "quality_name": "held-out accuracy"}


@torch.no_grad()
def held_out_accuracy(model: Any, rows: list[Job]) -> float:
    right = []
    for row in rows:
        if row["split"] != "train":
            scores = [float(model(torch.tensor([row[side]])).logits) for side in ("chosen", "rejected")]
            right.append(scores[0] > scores[1])
    return sum(right) / len(right)


def run_group(job: Job, folder: Path, clock: Clock) -> Job:
    import trl

    prompts = json.loads((folder / "tokens.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    rewards: list[float] = []

    def has_target(completion_ids: list[list[int]], **_: Any) -> list[float]:
        found = [float(job["target_id"] in ids) for ids in completion_ids]
        rewards.append(sum(found) / len(found))
        return found

    kind = {"grpo": (trl.GRPOConfig, trl.GRPOTrainer), "rloo": (trl.RLOOConfig, trl.RLOOTrainer)}[job["algorithm"]]
    num_rollouts = job["num_prompts"] * job["group_size"]
    arguments = trainer_arguments(job, folder) | {
        "max_steps": job["num_iterations"],
        "per_device_train_batch_size": job["micro_batch_size"],
        "gradient_accumulation_steps": num_rollouts // job["micro_batch_size"],
        "num_generations": job["group_size"],
        "max_completion_length": job["max_new_tokens"],
        "temperature": 1.0,
        "beta": job["kl_coefficient"],
    }
    trainer = kind[1](
        model=policy(job),
        reward_funcs=has_target,
        args=kind[0](**arguments),
        train_dataset=Dataset.from_list([{"prompt": tokenizer.decode(ids)} for ids in prompts]),
        processing_class=tokenizer,
        callbacks=[StepEnds(clock)],
    )
    trainer.train()
    last = rewards[-max(1, len(rewards) // 4) :]
    return {"quality": sum(last) / len(last), "quality_name": "mean reward of the last quarter"}


def run_ppo(job: Job, folder: Path, clock: Clock) -> Job:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    prompts = json.loads((folder / "tokens.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    rows = Dataset.from_list([{"input_ids": ids} for ids in prompts])
    arguments = trainer_arguments(job, folder) | {
        "total_episodes": job["num_iterations"] * job["num_rollouts"],
        "num_ppo_epochs": job["num_epochs"],
        "num_mini_batches": job["num_rollouts"] // job["minibatch_size"],
        # A minibatch is a step of the optimiser, as with us: with accumulation it would be a part of one.
        "per_device_train_batch_size": job["num_rollouts"],
        "gradient_accumulation_steps": 1,
        "local_rollout_forward_batch_size": job["micro_batch_size"],
        "response_length": job["max_new_tokens"],
        "stop_token": "eos",
        "temperature": 1.0,
        "kl_coef": job["kl_coefficient"],
        "num_sample_generations": 0,
        "vf_coef": 0.1,
    }
    trainer = PPOTrainer(
        args=PPOConfig(**arguments),
        processing_class=tokenizer,
        model=policy(job),
        ref_model=policy(job),
        reward_model=scorer(job, job["reward_model"]),
        value_model=scorer(job, job["reward_model"]),
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[StepEnds(clock)],
    )
    trainer.train()
    scores = [line["objective/scores"] for line in trainer.state.log_history if "objective/scores" in line]
    last = scores[-max(1, len(scores) // 4) :]
    return {"quality": sum(last) / len(last), "quality_name": "mean score of the last quarter"}


@torch.no_grad()
def run_sample(job: Job, folder: Path, clock: Clock) -> Job:
    prompts = json.loads((folder / "tokens.json").read_text())
    model = policy(job).eval().to(job["device"])
    if job["precision"] == "bfloat16":
        model = model.to(torch.bfloat16)
    stops = job["stop_ids"] or None
    prompts.sort(key=len)
    width = max(1, job["batch_size"] // job["num_samples"])
    lengths: list[int] = []
    for turn in range(job["num_passes"]):
        torch.manual_seed(job["seed"] + turn)
        for begin in range(0, len(prompts), width):
            some = prompts[begin : begin + width]
            longest = max(len(ids) for ids in some)
            ids = torch.tensor([[0] * (longest - len(row)) + row for row in some], device=job["device"])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in some], device=job["device"])
            with torch.inference_mode():  # as we sample
                written = model.generate(
                    ids,
                    attention_mask=mask,
                    do_sample=True,
                    top_k=0,
                    top_p=1.0,
                    temperature=1.0,
                    max_new_tokens=job["max_new_tokens"],
                    num_return_sequences=job["num_samples"],
                    eos_token_id=stops,
                    pad_token_id=0,
                )[:, longest:]
            lengths += completion_lengths(written.cpu(), stops)
        clock.mark()
    mean = sum(lengths) / len(lengths)
    return {"quality": mean, "quality_name": "mean length, tokens", "num_tokens": sum(lengths) / job["num_passes"]}


def completion_lengths(written: torch.Tensor, stops: list[int] | None) -> list[int]:
    if stops is None:
        return [written.shape[1]] * len(written)
    ended = torch.isin(written, torch.tensor(stops))
    first = torch.where(ended.any(1), ended.float().argmax(1) + 1, written.shape[1])
    found: list[int] = first.tolist()
    return found


STAGES = {"sft": run_sft, "reward": run_reward, "group": run_group, "ppo": run_ppo, "sample": run_sample}


def main(path: Path) -> None:
    job = json.loads(path.read_text())
    logging.set_verbosity_error()
    torch.set_num_threads(job["num_threads"])
    clock = Clock(job, torch.cuda.synchronize if job["device"] == "cuda" else None)
    found = STAGES[job["stage"]](job, Path(job["folder"]), clock)
    if job["device"] == "cuda":
        found["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(job["out"]).write_text(json.dumps(found | {"turns": clock.turns, "peak_mib": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
