"""The learning benchmarks count what a job needs, and the one for a GPU says so where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.learning_flops import Model, decoding_bytes, forward, shared

ROOT = Path(__file__).resolve().parents[1]
TINY = Model(hidden=4, layers=2, heads=2, key_value_heads=1, intermediate=3, vocabulary=10)


def test_weights_of_layers_are_the_projections_and_the_feed_forward() -> None:
    # Head width 2. Queries and output 4 x 4 each, keys and values 4 x 2 each, feed-forward 3 products of 4 x 3.
    assert TINY.layer_weights == 2 * (16 + 16 + 8 + 8 + 36) == 168
    assert TINY.weights == 168 + 40


def test_a_forward_is_two_operations_a_weight_and_token_and_causal_attention() -> None:
    # 5 tokens, 2 predicted: 2 x 168 x 5 + 2 x 40 x 2 + 2 layers x 2 x 4 x 25.
    assert forward(TINY, 5, 2) == 1680 + 160 + 400


def test_completions_behind_one_prompt_cost_it_once() -> None:
    one, both = shared(TINY, 6, [3]), shared(TINY, 6, [3, 3])
    assert one == forward(TINY, 9, 0)
    assert both == 2 * one - forward(TINY, 6, 0)


def test_a_decoding_step_reads_every_weight_once_and_each_row_its_own_past() -> None:
    # Keys and values of 7 tokens: 2 x 2 layers x 1 head x 2 wide x 7 = 56 numbers a row, 2 bytes each.
    assert decoding_bytes(TINY, 3, 7) == 2 * (208 + 3 * 56)


def test_without_a_gpu_one_sentence_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.learning_gpu"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.strip() == (
        "benchmarks.learning_gpu: found no CUDA device, expected one (--rehearse walks its path on the CPU)"
    )
