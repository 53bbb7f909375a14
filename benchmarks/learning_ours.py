"""Our side of benchmarks/learning.py: `python -m benchmarks.learning_ours JOB.json`, one stage, timed step by step."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning_clock import Clock
from rlhf.learning import configs, grpo, loop, ppo, reward, sft
from rlhf.learning.policy import load_policy
from rlhf.learning.sampling import Prompt, sample

Job = dict[str, Any]
TEXT = {"prompt_format": "chat", "max_prompt_tokens": 512, "max_completion_tokens": 256}


def watch(clock: Clock) -> None:
    """Mark the end of every step of a run."""
    end_step = loop.Run.end_step

    def marked(run: loop.Run, *arguments: Any) -> None:
        end_step(run, *arguments)
        clock.mark()

    loop.Run.end_step = marked  # type: ignore[method-assign,assignment]


def engine(job: Job) -> Job:
    return {
        "seed": job["seed"],
        "device": job["device"],
        "num_threads": job["num_threads"],
        "precision": job["precision"],
        "checkpoint_every": 0,
        "num_checkpoint_samples": 0,  # they come with the last step
        "log_every": 1,
    }


def optimizer(job: Job) -> Job:
    return {"learning_rate": job["learning_rate"], "schedule": "constant", "warmup_share": 0.0, "eps": 1e-8}


def common(job: Job) -> Job:
    return {"model": job["model"], "engine": engine(job), "text": TEXT, "optimizer": optimizer(job)}


def common_of_rows(job: Job) -> Job:
    return common(job) | {"num_epochs": 1, "batch_size": job["batch_size"], "micro_batch_size": job["batch_size"]}


def run_sft(job: Job, folder: Path, clock: Clock) -> Job:
    config = configs.from_dict("sft", common_of_rows(job))
    watch(clock)
    sft.run(folder, config)  # type: ignore[arg-type]
    return {"quality": result(folder)["held_out_loss"], "quality_name": "held-out loss, nats a token"}


def run_reward(job: Job, folder: Path, clock: Clock) -> Job:
    config = configs.from_dict("reward", common_of_rows(job))
    watch(clock)
    reward.run(folder, config)  # type: ignore[arg-type]
    return {"quality": result(folder)["accuracy"], "quality_name": "held-out accuracy"}


def common_of_rollouts(job: Job) -> Job:
    return common(job) | {
        "text": TEXT | {"max_completion_tokens": job["max_new_tokens"]},
        "num_iterations": job["num_iterations"],
        "micro_batch_size": job["micro_batch_size"],
        "kl_coefficient": job["kl_coefficient"],
        "missing_eos_score": None,
    }


def run_group(job: Job, folder: Path, clock: Clock) -> Job:
    values = common_of_rollouts(job) | {
        "rewards": {"verifier": "regex"},
        "algorithm": job["algorithm"],
        "prompts_per_iteration": job["num_prompts"],
        "group_size": job["group_size"],
        "minibatch_size": job["num_prompts"] * job["group_size"],
    }
    watch(clock)
    grpo.run(folder, configs.from_dict("grpo", values))  # type: ignore[arg-type]
    return {"quality": last_mean(folder, "score"), "quality_name": "mean reward of the last quarter"}


def run_ppo(job: Job, folder: Path, clock: Clock) -> Job:
    values = common_of_rollouts(job) | {
        "reward_model": job["reward_model"],
        "sft_model": job["model"],
        "value_learning_rate": job["learning_rate"],
        "rollouts_per_iteration": job["num_rollouts"],
        "num_epochs": job["num_epochs"],
        "minibatch_size": job["minibatch_size"],
    }
    watch(clock)
    ppo.run(folder, configs.from_dict("ppo", values))  # type: ignore[arg-type]
    return {"quality": last_mean(folder, "score"), "quality_name": "mean score of the last quarter"}


def run_sample(job: Job, folder: Path, clock: Clock) -> Job:
    device = loop.set_up(configs.EngineConfig(**engine(job)))
    policy = load_policy(job["model"], device)
    stops = frozenset(job["stop_ids"]) if job["stop_ids"] else frozenset()
    policy = type(policy)(policy.model, policy.tokenizer, policy.pad_id, stops)
    tokens = json.loads((folder / "tokens.json").read_text())
    lengths: list[int] = []
    with loop.autocast(configs.EngineConfig(**engine(job)), device):
        for turn in range(job["num_passes"]):
            samples = sample(
                policy,
                [Prompt(index, ids) for index, ids in enumerate(tokens)],
                num_samples=job["num_samples"],
                temperature=1.0,
                max_new_tokens=job["max_new_tokens"],
                seed=job["seed"] + turn,
                batch_size=job["batch_size"],
            )
            clock.mark()
            lengths += [len(s.ids) for s in samples]
    mean = sum(lengths) / len(lengths)
    return {"quality": mean, "quality_name": "mean length, tokens", "num_tokens": sum(lengths) / job["num_passes"]}


def result(folder: Path) -> Job:
    found: Job = json.loads((folder / "result.json").read_text())["metrics"]
    return found


def last_mean(folder: Path, name: str) -> float:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    values = [line[name] for line in lines if line["phase"] == "train"]
    last = values[-max(1, len(values) // 4) :]
    return sum(last) / len(last)


STAGES = {"sft": run_sft, "reward": run_reward, "group": run_group, "ppo": run_ppo, "sample": run_sample}


def main(path: Path) -> None:
    job = json.loads(path.read_text())
    clock = Clock(job, torch.cuda.synchronize if job["device"] == "cuda" else None)
    found = STAGES[job["stage"]](job, Path(job["folder"]), clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if job["device"] == "cuda":
        found["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    Path(job["out"]).write_text(json.dumps(found | {"turns": clock.turns, "peak_mib": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
