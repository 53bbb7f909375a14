"""Judging pairs, and estimating win rates from verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, ServerConfig, TextConfig
from rlhf.learning.configs.errors import require

_ASKED = (
    "Compare two answers, A and B, to the last message of a conversation: which one helps the person more, is right, "
    "and does what was asked? Neither the order of the answers nor their length counts. "
)
# What a language model is asked where the configuration says nothing, by the kind of verdict.
QUESTIONS = {
    "text": _ASKED + "Say briefly what decides. Then end with a line that holds the verdict alone: [[A]] where A is "
    "better, [[B]] where B is better, [[C]] where neither is.",
    "logprobs": _ASKED + "Reply with one letter and nothing else: A where A is better, B where B is better, C where "
    "neither is.",
}
LANGUAGE_MODELS = ("openai", "vllm")


@dataclass(frozen=True)
class JudgeConfig:
    """Pairs judged by a reward model, a language model or a verifier. In: data/pairs.parquet, and data/targets.parquet
    for a verifier. Out: rows.parquet. Needs torch for a reward model only."""

    reward_model: str | None = None
    engine: EngineConfig = field(default_factory=EngineConfig)  # its seed orders the pairs too
    text: TextConfig = field(default_factory=TextConfig)  # of a reward model; a language model gets whole texts
    batch_size: int = 256  # completions in one forward of a reward model
    # Who judges. openai: the language model server.model at server.base_url, by /chat/completions whatever
    # server.interface says. vllm: judge_model, by a vLLM server that ends with the run. verifier: the target decides.
    backend: Literal["reward_model", "openai", "vllm", "verifier"] = "reward_model"
    judge_model: str | None = None
    server: ServerConfig = field(default_factory=ServerConfig)
    # How a language model gives its verdict. text: by the last line of its reply. logprobs: by the probabilities of the
    # letters A, B and C as the one token that it may say; its server must give top_logprobs.
    verdict: Literal["text", "logprobs"] = "text"
    question: str | None = None  # None: QUESTIONS[verdict]. One of your own says in which form the verdict is wanted
    max_reply_tokens: int = 512  # of a verdict by text
    max_characters: int = 20_000  # of a conversation, which loses its beginning, and of an answer, which loses its end
    max_unreadable_share: float = 0.0  # of pairs without a readable verdict; more of them end the run
    verifier: Literal["none", "exact", "number", "regex"] = "none"  # of the backend verifier
    thinking_end: str | None = None  # e.g. "</think>": what stands before its last occurrence is judged by nobody

    def __post_init__(self) -> None:
        self._require_a_judge()
        require(self.question is None or bool(self.question.strip()), "question: expected a text, found none")
        for name in ("batch_size", "max_reply_tokens", "max_characters"):
            require(getattr(self, name) >= 1, f"{name}: expected at least 1, found {getattr(self, name)}")
        require(
            0 <= self.max_unreadable_share <= 1,
            f"max_unreadable_share: expected 0 to 1, found {self.max_unreadable_share}",
        )
        require(self.thinking_end != "", "thinking_end: expected a text, found nothing")
        require(
            self.thinking_end is None or self.backend != "reward_model",
            f"thinking_end: expected none for a reward model, which reads whole answers, found {self.thinking_end!r}",
        )

    def _require_a_judge(self) -> None:
        require(
            bool(self.reward_model) == (self.backend == "reward_model"),
            f"reward_model: expected a path for the backend reward_model and none for others, found "
            f"{self.reward_model!r} for {self.backend}",
        )
        require(
            bool(self.judge_model) == (self.backend == "vllm"),
            f"judge_model: expected a name or a path for the backend vllm and none for others, found "
            f"{self.judge_model!r} for {self.backend}",
        )
        require(
            self.backend != "openai" or (self.server.base_url is not None and bool(self.server.model)),
            f"server: expected base_url and model for the backend openai, found {self.server.base_url!r} and "
            f"{self.server.model!r}",
        )
        require(
            (self.verifier != "none") == (self.backend == "verifier"),
            f"verifier: expected exact, number or regex for the backend verifier and none for others, found "
            f"{self.verifier} for {self.backend}",
        )
        require(
            self.verdict == "text" or self.backend in LANGUAGE_MODELS,
            f"verdict: expected text where no language model judges, found {self.verdict} for {self.backend}",
        )

    @property
    def asked(self) -> str:
        """The question to a language model."""
        return QUESTIONS[self.verdict] if self.question is None else self.question


@dataclass(frozen=True)
class VersionEntry:
    """How a version appears in document.json."""

    id: int
    name: str
    kind: str = ""
    number: int | None = None  # of a candidate of the loop; the chain of versions goes by it
    family: str = ""  # of models that are akin


@dataclass(frozen=True)
class JudgeEntry:
    """How a judge appears in document.json."""

    id: int
    name: str
    kind: str = ""
    identity: str = ""
    family: str = ""
    trained: tuple[int, ...] = ()  # versions whose training reward it was


@dataclass(frozen=True)
class EstimateConfig:
    """Win rates with intervals. In: data/verdicts.parquet. Out: rows.parquet, document.json. Needs no torch."""

    confidence: float = 0.95
    seed: int = 0  # of all resampling
    num_resamples: int = 1_000
    # Who is who in document.json. Without versions there is no document: win rates alone.
    versions: tuple[VersionEntry, ...] = ()
    judges: tuple[JudgeEntry, ...] = ()

    def __post_init__(self) -> None:
        require(0.5 <= self.confidence < 1, f"confidence: expected 0.5 <= x < 1, found {self.confidence}")
        require(self.seed >= 0, f"seed: expected 0 or more, found {self.seed}")
        require(
            100 <= self.num_resamples <= 100_000,
            f"num_resamples: expected 100 to 100,000, found {self.num_resamples}",
        )
        for name in ("versions", "judges"):
            ids = [entry.id for entry in getattr(self, name)]
            require(len(set(ids)) == len(ids), f"{name}: expected ids that differ, found {ids}")
