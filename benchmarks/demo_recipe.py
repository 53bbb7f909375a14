"""The demo's loop without its product: rounds of learning on simulated labels, straight through run folders.

    python -m benchmarks.demo_recipe --folder var/benchmark --seeds 0 1 2 --rounds 2

Prints, for each seed: the reward model against the gold order on held-out prompts (two samples each from the round's
starting version, exact gold ties dropped), its accuracy on noisy labels beside the ceiling that the known noise allows,
gold win rates between versions, mean gold and mean reward of each version, and seconds by stage. Intervals are 95 %,
clustered by prompt.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from annotate.management.demo import gold, grammar, labelers, pretraining, recipe
from benchmarks.rows import Row, simulated_demonstration, simulated_pairs, simulated_ranking
from rlhf.learning import tables
from rlhf.learning.starter import Starter

Mean = tuple[float, float, float]  # mean and its 95 % interval

NUM_HELD_OUT = 1_200  # prompts of the comparison between versions, never trained on
_HELD_OUT = range(10_000, 10_000 + NUM_HELD_OUT)
_TRAIN = range(4_000)  # demonstrations from its beginning, rankings and PPO prompts from all of it


def mean_of_clusters(values: Sequence[Sequence[float]]) -> Mean:
    """Mean over all values with an interval that takes each inner list as one cluster (ratio estimator)."""
    counts, sums = [len(some) for some in values], [sum(some) for some in values]
    total = sum(counts)
    mean = sum(sums) / total
    spread = sum((s - mean * n) ** 2 for s, n in zip(sums, counts, strict=True))
    half = 1.96 * math.sqrt(spread * len(values) / max(1, len(values) - 1)) / total
    return mean, mean - half, mean + half


def cpu_seconds(pid: int, otherwise: float) -> float:
    """Processor time that a process has used so far (Linux); `otherwise` once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return otherwise
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class World:
    """One seed's loop: where it works, and what it has seen."""

    folder: Path
    seed: int
    starter: Starter
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    rankings: list[Row] = field(default_factory=list)

    def run(self, kind: str, name: str, data: tuple[str, Any, list[Row]], **paths: Path) -> Path:
        """One run, from its folder to its result."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        file, schema, rows = data
        tables.write_table(folder / "data" / file, schema, rows)
        known = recipe.judge(seed=self.seed) if kind == "judge" else recipe.loop(seed=self.seed)[kind]
        config = known | {field: str(path) for field, path in paths.items()}
        if kind == "sample" and name.startswith("answers"):
            config["sampling"] = config["sampling"] | {"num_samples": 2}
        (folder / "config.json").write_text(json.dumps(config))
        started = time.monotonic()
        child = self.starter.run(kind=kind, folder=folder)
        while (code := child.poll()) is None:
            self.cpu_seconds[name] = cpu_seconds(child.pid, self.cpu_seconds.get(name, 0.0))
            time.sleep(0.05)
        if code != 0:
            raise SystemExit(f"{folder}: exit code {code}, expected 0: {(folder / 'log.txt').read_text()[-2000:]}")
        self.seconds[name] = time.monotonic() - started
        return folder

    def prompt(self, index: int) -> grammar.Request:
        return grammar.request(seed=self.seed, index=index)

    def prompt_rows(self, indices: Sequence[int], split: str) -> tuple[str, Any, list[Row]]:
        rows = [{"prompt_id": i, "prompt": self.prompt(i).messages, "split": split} for i in indices]
        return "prompts.parquet", tables.PROMPTS, rows

    def sft(self, base: Path) -> Path:
        num = recipe.STANDARD.num_demonstrations
        rows = [simulated_demonstration(self.seed, index) for index in _TRAIN[:num]]
        data = ("demonstrations.parquet", tables.DEMONSTRATIONS, rows)
        return self.run("sft", "sft", data, model=base) / "model"

    def completions(self, model: Path, indices: Sequence[int], name: str) -> dict[int, list[str]]:
        folder = self.run("sample", name, self.prompt_rows(indices, "train"), model=model)
        found: dict[int, list[str]] = {index: [] for index in indices}
        for row in tables.read_table(folder / "rows.parquet", tables.SAMPLE_ROWS):
            found[row["prompt_id"]].append(row["completion"])
        return found

    def label(self, model: Path, number: int) -> list[Row]:
        """Rankings of one round, of train and held-out prompts."""
        size = recipe.STANDARD.num_ranking_prompts
        train = list(_TRAIN)[(number - 1) * size : number * size]
        held_out = list(_HELD_OUT)[: recipe.STANDARD.num_held_out_ranking_prompts]
        completions = self.completions(model, train + held_out, f"completions-{number}")
        return [
            simulated_ranking(
                self.seed, index, texts, ranking_id=len(self.rankings) + place, iteration=number,
                split="held_out" if index in _HELD_OUT else "train",
            )
            for place, (index, texts) in enumerate(completions.items())
        ]  # fmt: skip

    def round(self, number: int, version: Path, sft: Path, reward: Path) -> tuple[Path, Path]:
        """The next version and the reward model that it was trained against."""
        old = [row | {"weight": recipe.OLD_RANKINGS_WEIGHT} for row in self.rankings if row["split"] == "train"]
        new = self.label(version, number)
        self.rankings += new
        data = ("rankings.parquet", tables.RANKINGS, old + new)
        reward = self.run("reward", f"reward-{number}", data, model=reward) / "model"
        chosen = self.prompt_rows(_TRAIN[: recipe.STANDARD.num_best_of_n_prompts], "train")
        best = self.run("best_of_n", f"best_of_n-{number}", chosen, model=version, reward_model=reward) / "model"
        prompts = self.prompt_rows(list(_TRAIN)[-recipe.STANDARD.num_ppo_prompts :], "train")
        ppo = self.run("ppo", f"ppo-{number}", prompts, model=best, reward_model=reward, sft_model=sft) / "model"
        return ppo, reward

    def judge(self, reward: Path, pairs: list[tuple[int, str, str]], name: str) -> list[Row]:
        rows = simulated_pairs(self.seed, pairs)
        folder = self.run("judge", name, ("pairs.parquet", tables.PAIRS, rows), reward_model=reward)
        return tables.read_table(folder / "rows.parquet", tables.JUDGE_ROWS)

    def gold(self, index: int, text: str) -> float:
        return gold.score(self.prompt(index).text, text)


def reward_accuracy(world: World, answers: dict[int, list[str]], reward: Path, number: int) -> list[str]:
    """A reward model against the gold order and against fresh noisy labels, on two samples of each held-out prompt."""
    pairs = [(index, texts[0], texts[1]) for index, texts in answers.items()]
    right, noisy, ceiling, flips = [], [], [], []
    for (index, a, b), row in zip(pairs, world.judge(reward, pairs, f"accuracy-{number}"), strict=True):
        difference = world.gold(index, a) - world.gold(index, b)
        prefers_a = row["score_a"] > row["score_b"]
        if difference != 0:
            right.append([float(prefers_a == (difference > 0))])
        text = world.prompt(index).text
        label = labelers.compare(world.seed, labelers.task_key(text, [a, b]), 0, text, a, b)
        if label != "tie":
            noisy.append([float(prefers_a == (label == "a"))])
            chance = labelers.preference(text, a, b)
            ceiling.append(max(chance, 1 - chance))
            if difference != 0:
                flips.append(float((label == "a") != (difference > 0)))
    held_out = json.loads((world.folder / f"reward-{number}" / "result.json").read_text())["metrics"]
    return [
        f"round {number}",
        f"{_show(mean_of_clusters(right))} of {len(right)}",
        _show(mean_of_clusters(noisy)),
        f"{sum(ceiling) / len(ceiling):.3f}",
        f"{sum(flips) / len(flips):.3f}",
        _show((held_out["accuracy"], held_out["accuracy_low"], held_out["accuracy_high"])),
    ]


def win_rate(world: World, new: dict[int, list[str]], old: dict[int, list[str]]) -> Mean:
    """Gold win rate of new over old, a tie counting half, on all held-out prompts."""
    verdicts = []
    for index in new:
        pairs = zip(new[index], old[index], strict=True)
        differences = [world.gold(index, a) - world.gold(index, b) for a, b in pairs]
        verdicts.append([0.5 + 0.5 * ((d > 0) - (d < 0)) for d in differences])
    return mean_of_clusters(verdicts)


def run_seed(folder: Path, seed: int, num_rounds: int, starter: Starter, console: Console) -> None:
    world = World(folder=folder / f"seed-{seed}", seed=seed, starter=starter)
    started = time.monotonic()
    base = pretraining.ensure(
        cache=folder / "base", seed=seed, num_examples=recipe.STANDARD.num_corpus, on_progress=lambda step, total: None
    )
    world.seconds["pretraining"] = time.monotonic() - started
    sft = world.sft(base)
    versions, reward = [sft], sft
    accuracies, rewards = [], []
    answers = [world.completions(sft, _HELD_OUT, "answers-0")]
    for number in range(1, num_rounds + 1):
        version, reward = world.round(number, versions[-1], sft, reward)
        versions.append(version)
        accuracies.append(reward_accuracy(world, answers[-1], reward, number))
        answers.append(world.completions(version, _HELD_OUT, f"answers-{number}"))
        lines = (world.folder / f"ppo-{number}" / "metrics.jsonl").read_text().splitlines()
        found = [line for line in map(json.loads, lines) if line["phase"] == "train"]
        rewards.append([found[0], found[-1]])
    _print_accuracies(console, seed, accuracies)
    _print_versions(console, world, answers, rewards)
    _print_seconds(console, world)


def _show(mean: Mean) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*mean)


def _print_accuracies(console: Console, seed: int, rows: list[list[str]]) -> None:
    table = Table(title=f"seed {seed}: reward model", title_justify="left")
    for name in ("", "agrees with gold", "on noisy labels", "ceiling", "flips", "held-out rankings"):
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_versions(
    console: Console, world: World, answers: list[dict[int, list[str]]], rewards: list[list[dict[str, float]]]
) -> None:
    table = Table(title="versions, by gold on held-out prompts", title_justify="left")
    for name in ("", "mean gold", "over previous", "over v0", "score before, after PPO", "KL", "KL to SFT", "length"):
        table.add_column(name)
    for number, texts in enumerate(answers):
        mean = mean_of_clusters([[world.gold(index, text) for text in some] for index, some in texts.items()])
        cells = [f"v{number}", f"{mean[0]:.2f}"]
        if number:
            first, last = rewards[number - 1]
            cells += [_show(win_rate(world, texts, answers[number - 1])), _show(win_rate(world, texts, answers[0]))]
            cells += [f"{first['score']:.2f}, {last['score']:.2f}", f"{last['kl']:.2f}", f"{last['kl_sft']:.2f}"]
            cells += [f"{last['length']:.1f}"]
        table.add_row(*cells)
    console.print(table)


def _print_seconds(console: Console, world: World) -> None:
    """Wall and processor seconds of the loop itself, without the measuring around it."""
    for title, seconds in (("seconds", world.seconds), ("of one processor", world.cpu_seconds)):
        loop = {name: spent for name, spent in seconds.items() if not name.startswith(("answers", "accuracy"))}
        parts = ", ".join(f"{name} {spent:.1f}" for name, spent in loop.items())
        console.print(f"{title}: {parts}; in all {sum(loop.values()):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where run folders and base models are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    console = Console(width=160)
    with Starter() as starter:
        for seed in arguments.seeds:
            run_seed(arguments.folder.absolute(), seed, arguments.rounds, starter, console)


if __name__ == "__main__":
    main()
