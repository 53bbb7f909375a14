"""Judging pairs, and estimating win rates from verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, ServerConfig, TextConfig
from rlhf.learning.configs.errors import require


@dataclass(frozen=True)
class JudgeConfig:
    """Pairs judged by a reward model or by a language model. In: data/pairs.parquet. Out: rows.parquet."""

    reward_model: str | None = None
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)  # of a reward model; a language model gets whole texts
    batch_size: int = 256  # completions in one forward of a reward model
    # Who judges. openai: the language model server.model at server.base_url, by /chat/completions whatever
    # server.interface says. vllm: judge_model, by a vLLM server that ends with the run.
    backend: Literal["reward_model", "openai", "vllm"] = "reward_model"
    judge_model: str | None = None
    server: ServerConfig = field(default_factory=ServerConfig)
    question: str = (
        "Compare two answers, A and B, to the last message of a conversation: which one helps the person more, is "
        "right, and does what was asked? Neither the order of the answers nor their length counts. Say briefly what "
        "decides. Then end with a line that holds the verdict alone: [[A]] where A is better, [[B]] where B is "
        "better, [[C]] where neither is."
    )
    max_reply_tokens: int = 512
    max_characters: int = 20_000  # of a conversation, which loses its beginning, and of an answer, which loses its end
    max_unreadable_share: float = 0.0  # of pairs without a readable verdict; more of them end the run

    def __post_init__(self) -> None:
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
        require(bool(self.question.strip()), "question: expected a text, found none")
        for name in ("batch_size", "max_reply_tokens", "max_characters"):
            require(getattr(self, name) >= 1, f"{name}: expected at least 1, found {getattr(self, name)}")
        require(
            0 <= self.max_unreadable_share <= 1,
            f"max_unreadable_share: expected 0 to 1, found {self.max_unreadable_share}",
        )


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
