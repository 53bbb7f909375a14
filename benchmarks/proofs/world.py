"""One seed's world: its prompts, labels with known noise, and the stages of the learning core run on them.

Stages run in this process, each in a folder of its own; one that has its result is not run again.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.management.demo import gold, grammar, pretraining, recipe
from benchmarks.proofs.sizes import Sizes
from benchmarks.rows import Row, simulated_demonstration, simulated_pairs, simulated_ranking
from rlhf.learning import configs, tables
from rlhf.learning.__main__ import STAGES

HELD_OUT = 10_000  # prompts from here on are never trained on
NUM_TRAIN = 4_000


@dataclass(frozen=True)
class World:
    """Where a seed's stages lie, and how large they are."""

    folder: Path
    seed: int
    sizes: Sizes

    def prompt(self, index: int) -> grammar.Request:
        return grammar.request(seed=self.seed, index=index)

    def gold(self, index: int, text: str) -> float:
        return gold.score(self.prompt(index).text, text)

    @property
    def held_out(self) -> range:
        return range(HELD_OUT, HELD_OUT + self.sizes.num_held_out)

    @property
    def ppo_prompts(self) -> range:
        return range(NUM_TRAIN - self.sizes.num_ppo_prompts, NUM_TRAIN)

    def settings(self, kind: str) -> dict[str, Any]:
        """The demo's configuration of a stage, without checkpoints: a stage that was stopped is run again."""
        known = recipe.judge(seed=self.seed) if kind == "judge" else recipe.loop(seed=self.seed)[kind]
        if kind == "ppo":
            rollouts = self.sizes.ppo_rollouts
            batch = min(64, rollouts)
            known |= {"num_iterations": self.sizes.ppo_iterations, "rollouts_per_iteration": rollouts}
            known |= {"minibatch_size": batch, "micro_batch_size": batch}
        return known | {"engine": known["engine"] | {"checkpoint_every": 0}}

    def run(self, kind: str, name: str, data: tuple[str, Any, list[Row]], **fields: Any) -> Path:
        """One stage, from its data to its result; its folder."""
        folder = self.folder / name
        if (folder / "result.json").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        file, schema, rows = data
        tables.write_table(folder / "data" / file, schema, rows)
        plain = {key: str(value) if isinstance(value, Path) else value for key, value in fields.items()}
        importlib.import_module(STAGES[kind]).run(folder, configs.from_dict(kind, self.settings(kind) | plain))
        return folder

    def prompts(self, indices: Sequence[int]) -> tuple[str, Any, list[Row]]:
        rows = [{"prompt_id": i, "prompt": self.prompt(i).messages, "split": "train"} for i in indices]
        return "prompts.parquet", tables.PROMPTS, rows

    def base(self) -> Path:
        cache = self.folder.parent.parent / "base"  # shared by all sizes
        return pretraining.ensure(
            cache=cache, seed=self.seed, num_examples=self.sizes.num_corpus, on_progress=lambda step, total: None
        )

    def sft(self) -> Path:
        if (self.folder / "sft" / "result.json").exists():
            return self.folder / "sft/model"
        rows = [simulated_demonstration(self.seed, index) for index in range(self.sizes.num_demonstrations)]
        data = ("demonstrations.parquet", tables.DEMONSTRATIONS, rows)
        return self.run("sft", "sft", data, model=self.base()) / "model"

    def completions(
        self, model: Path, indices: Sequence[int], name: str, num_samples: int, seed: int = 0
    ) -> dict[int, list[str]]:
        """Texts by prompt."""
        settings = self.settings("sample")
        fields = {
            "sampling": settings["sampling"] | {"num_samples": num_samples},
            "engine": settings["engine"] | {"seed": self.seed + seed},
        }
        folder = self.run("sample", name, self.prompts(indices), model=model, **fields)
        found: dict[int, list[str]] = {index: [] for index in indices}
        for row in tables.read_table(folder / "rows.parquet", tables.SAMPLE_ROWS):
            found[row["prompt_id"]].append(row["completion"])
        return found

    def rankings(self, model: Path, indices: Sequence[int], name: str, iteration: int = 1) -> list[Row]:
        """One labeler's ranking of four answers to every prompt."""
        answers = self.completions(model, indices, name, recipe.NUM_COMPLETIONS)
        return [simulated_ranking(self.seed, i, texts, iteration=iteration) for i, texts in answers.items()]

    def labels(self) -> list[Row]:
        """Rankings of the SFT version's answers to the first prompts, as many as any proof needs."""
        count = max(self.sizes.num_labeled, 2 * self.sizes.num_ranking_prompts)
        return self.rankings(self.sft(), range(count), "completions-sft")

    def reward(self, name: str, rankings: list[Row], start: Path) -> Path:
        data = ("rankings.parquet", tables.RANKINGS, rankings)
        return self.run("reward", name, data, model=start) / "model"

    def scores(self, reward: Path, pairs: Sequence[tuple[int, str, str]], name: str) -> list[float]:
        """Score of the first less that of the second, of each pair (prompt, first, second)."""
        rows = simulated_pairs(self.seed, pairs)
        folder = self.run("judge", name, ("pairs.parquet", tables.PAIRS, rows), reward_model=reward)
        return [r["score_a"] - r["score_b"] for r in tables.read_table(folder / "rows.parquet", tables.JUDGE_ROWS)]
