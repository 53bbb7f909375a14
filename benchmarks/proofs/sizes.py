"""How much of everything the proofs take: in full, quickly, and in a test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts are of prompts unless they say otherwise."""

    name: str
    seeds: tuple[int, ...]  # worlds that are reported
    calibration_seeds: tuple[int, ...]  # worlds that thresholds are fixed on; never reported as proof
    num_corpus: int  # examples that the base model is pre-trained on
    num_demonstrations: int
    label_sizes: tuple[int, ...]  # ranked prompts, 4 answers each
    num_labeled: int  # ranked prompts that every size takes its parts from
    num_held_out: int
    num_rounds: int
    num_ranking_prompts: int  # of a round, and of the two reward models of `failures`
    num_best_of_n_prompts: int
    num_ppo_prompts: int
    ppo_iterations: int
    ppo_rollouts: int
    free_labels: int  # ranked prompts behind the reward model of the run with beta = 0
    free_iterations: int
    free_rollouts: int
    free_every: int  # iterations between two measurements
    num_bootstrap: int
    alarm_iterations: int
    alarm_rollouts: int
    runs_per_failure: int
    num_healthy: int
    calibration_runs: int  # of every failure; twice as many healthy ones
    num_report_seeds: int
    num_doubly_labeled: int


FULL = Sizes(
    name="full",
    seeds=(0, 1, 2),
    calibration_seeds=(100, 101),
    num_corpus=12_000,
    num_demonstrations=1_500,
    label_sizes=(300, 600, 1_200),
    num_labeled=2_400,
    num_held_out=2_400,  # exact ties of the gold score leave over 2,000 pairs
    num_rounds=3,
    num_ranking_prompts=600,
    num_best_of_n_prompts=192,
    num_ppo_prompts=1_024,
    ppo_iterations=12,
    ppo_rollouts=128,
    free_labels=1_200,
    free_iterations=48,
    free_rollouts=256,
    free_every=2,
    num_bootstrap=1_000,
    alarm_iterations=20,
    alarm_rollouts=64,
    runs_per_failure=10,
    num_healthy=60,
    calibration_runs=4,
    num_report_seeds=200,
    num_doubly_labeled=4_000,
)
QUICK = Sizes(
    name="quick",
    seeds=(0,),
    calibration_seeds=(100,),
    num_corpus=12_000,
    num_demonstrations=1_500,
    label_sizes=(300, 600, 1_200),
    num_labeled=2_400,
    num_held_out=600,
    num_rounds=2,
    num_ranking_prompts=600,
    num_best_of_n_prompts=192,
    num_ppo_prompts=1_024,
    ppo_iterations=12,
    ppo_rollouts=128,
    free_labels=1_200,
    free_iterations=48,
    free_rollouts=256,
    free_every=3,
    num_bootstrap=200,
    alarm_iterations=20,
    alarm_rollouts=64,
    runs_per_failure=1,
    num_healthy=2,
    calibration_runs=1,
    num_report_seeds=30,
    num_doubly_labeled=4_000,
)
TEST = Sizes(
    name="test",
    seeds=(0,),
    calibration_seeds=(100,),
    num_corpus=1_200,
    num_demonstrations=192,
    label_sizes=(24, 48, 96),
    num_labeled=96,
    num_held_out=120,
    num_rounds=1,
    num_ranking_prompts=48,
    num_best_of_n_prompts=32,
    num_ppo_prompts=64,
    ppo_iterations=3,
    ppo_rollouts=32,
    free_labels=48,
    free_iterations=4,
    free_rollouts=32,
    free_every=2,
    num_bootstrap=50,
    alarm_iterations=5,
    alarm_rollouts=32,
    runs_per_failure=1,
    num_healthy=1,
    calibration_runs=1,
    num_report_seeds=6,
    num_doubly_labeled=4_000,
)
SIZES = {sizes.name: sizes for sizes in (FULL, QUICK, TEST)}
