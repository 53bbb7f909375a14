"""Questions, answers and demonstrations of the tests. Torch-free: who only writes rows need not wait for torch."""

from __future__ import annotations

from typing import Any

WORDS = ["river", "stone", "bread", "lantern", "garden", "winter", "letter", "music", "harbour", "clock", "tea", "map"]


def question(i: int) -> list[dict[str, str]]:
    content = f"Tell me about the {WORDS[i % 12]} and the {WORDS[(i * 5 + 1) % 12]}, please."
    return [{"role": "user", "content": content}]


def answer(i: int) -> str:
    return f"The {WORDS[i % 12]} is near the {WORDS[(i * 5 + 1) % 12]}. " * (1 + i % 3)


def demonstration_rows(count: int, num_held_out: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "demonstration_id": 100 + i,
            "prompt_id": i,
            "prompt": question(i),
            "completion": answer(i),
            "labeler": f"labeler-{i % 3}",
            "split": "held_out" if i < num_held_out else "train",
        }
        for i in range(count)
    ]
