"""Models that are akin: a judge may favour answers of its own family, so pages say where both are of one."""

from __future__ import annotations

import re

from rlhf.models import Judge, ModelVersion

# Families whose models go by several names; what is not here is the word that the model's name begins with.
KNOWN = {
    "gpt": ("gpt", "davinci", "openai"),
    "claude": ("claude", "anthropic"),
    "gemini": ("gemini", "gemma", "palm", "bard"),
    "llama": ("llama", "vicuna", "alpaca", "tulu"),
    "mistral": ("mistral", "mixtral", "ministral", "zephyr"),
    "qwen": ("qwen", "qwq"),
    "deepseek": ("deepseek",),
    "phi": ("phi-",),
    "command": ("command-r", "cohere", "aya-"),
}


def family(*, name: str) -> str:
    """The family of a model's name or path; "" for none. The last part counts: `meta-llama/Llama-3` is a llama."""
    last = name.rstrip("/").rpartition("/")[2].casefold()
    for found, words in KNOWN.items():
        if any(word in last for word in words):
            return found
    word = re.match(r"[a-z]+(?![a-z0-9])", last)
    return word.group() if word else last[:60]


def of_version(*, version: ModelVersion) -> str:
    """A trained version is of its project's base model; others are of the model that they are taken from."""
    name = version.endpoint.get("model") or version.source
    if name:
        return family(name=name)
    if version.kind == ModelVersion.Kind.ANSWERS:
        return family(name=version.name)
    return family(name=version.project.base_model)


def of_judge(*, judge: Judge) -> str:
    """People, verifiers and hidden truths are of none."""
    if judge.version is not None:
        return of_version(version=judge.version)
    name = judge.settings.get("model") or judge.settings.get("judge_model") or ""
    return family(name=name) if judge.kind in (Judge.Kind.LLM, Judge.Kind.IMPORTED) else ""
