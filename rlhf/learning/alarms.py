"""Alarms of PPO, GRPO and RLOO: what has gone wrong, most likely why, and what to try, a line each.

Pure functions of the metrics of an iteration and of those before it. The thresholds below were fixed on runs of
worlds of their own (seeds 100 and 101 of benchmarks/proofs/failures.py), which no proof reports; a metric that a stage
doesn't log raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Metrics = Mapping[str, float]

FIRST_STEP_KL = 1e-6  # nats a token between the rollouts' policy and itself; exactly 0 where nothing is random
SAMPLER_GAP = 0.03  # nats a token; float32 has 1e-6, bfloat16 up to 2e-2, a sampler at temperature 0.7 has 0.06
TRUNCATED_SHARE = 0.05  # of prompts
FREE_KL = 0.03  # nats a token to the reference that nothing is paid for
KL_PER_TOKEN = 0.25  # nats a token to the reference: past it a reward model is read far from where it was trained
REWARD_GAP = 0.8  # share of the proxy's gain that a held-out reward model doesn't see; healthy runs reach 0.47 ...
REWARD_GAIN = 0.5  # ... once the proxy has gained this much, in standard deviations of its scores
LENGTH_RATIO = 2.0  # mean length against the first iteration's, or its inverse; short answers rightly grow to 1.7
LENGTH_CORRELATION = 0.75  # of score and length over an iteration's rollouts; good models reach 0.55
EOS_DROP = 0.3  # of the share of completions that end by themselves, from the first iteration's
ENTROPY_RATIO = 0.3  # entropy a token against the first iteration's
REPETITION = 0.25  # more repeated 3-grams than at first, as a share of all
EXPLAINED_VARIANCE = -1.0  # below 0 the value model is worse than a constant
_RECENT = 3  # iterations whose mean counts, so that one odd batch raises nothing
_PRACTICE = 10  # iterations until a value model that began as a reward model has to know better than a constant


@dataclass(frozen=True)
class Alarm:
    """One thing that is wrong at one iteration."""

    name: str
    value: float
    threshold: float
    cause: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.value:.3g}, alarm at {self.threshold:.3g}. {self.cause} {self.advice}"


@dataclass(frozen=True)
class _Check:
    """`measure` gives a number that alarms above `threshold`, or None where there is nothing to say."""

    name: str
    threshold: float
    measure: Callable[[Sequence[Metrics]], float | None]
    cause: str
    advice: str


def check(history: Sequence[Metrics]) -> list[Alarm]:
    """The alarms of the newest of some iterations' metrics, oldest first; the first is what drifts are measured from.

    An alarm is repeated as long as its cause lasts; a run logs each name once.
    """
    found = []
    for rule in CHECKS:
        value = rule.measure(history)
        if value is not None and value > rule.threshold:
            found.append(Alarm(rule.name, value, rule.threshold, rule.cause, rule.advice))
    return found


def _now(name: str) -> Callable[[Sequence[Metrics]], float | None]:
    return lambda history: history[-1].get(name)


def _lately(name: str) -> Callable[[Sequence[Metrics]], float | None]:
    """Mean over the last iterations, the first one with them; None where one of them lacks it."""

    def measure(history: Sequence[Metrics]) -> float | None:
        lines = history[-_RECENT:]
        if len(lines) < _RECENT or any(name not in line for line in lines):
            return None
        return sum(line[name] for line in lines) / _RECENT

    return measure


def _recent(history: Sequence[Metrics], name: str) -> float | None:
    """Mean over the last iterations; None before there are enough behind the first."""
    if len(history) <= _RECENT or name not in history[-1]:
        return None
    return sum(line[name] for line in history[-_RECENT:]) / _RECENT


def _kl_per_token(history: Sequence[Metrics]) -> float | None:
    last = history[-1]
    return last["kl"] / last["length"] if "kl" in last and last.get("length") else None


def _free_kl(history: Sequence[Metrics]) -> float | None:
    """Mean nats a token of the last iterations, where the KL penalty is off."""
    kl, length = _recent(history, "kl"), _recent(history, "length")
    if kl is None or not length or history[-1].get("kl_coefficient") != 0:
        return None
    return kl / length


def _reward_gap(history: Sequence[Metrics]) -> float | None:
    proxy, held_out = _recent(history, "score"), _recent(history, "held_out_score")
    if proxy is None or held_out is None:
        return None
    gain = proxy - history[0]["score"]
    return 1 - (held_out - history[0]["held_out_score"]) / gain if gain > REWARD_GAIN else None


def _length_ratio(history: Sequence[Metrics]) -> float | None:
    length = _recent(history, "length")
    if length is None:
        return None
    first = history[0]["length"]
    return max(length / first, first / length)


def _eos_drop(history: Sequence[Metrics]) -> float | None:
    rate = _recent(history, "eos_rate")
    return None if rate is None else history[0]["eos_rate"] - rate


def _entropy_loss(history: Sequence[Metrics]) -> float | None:
    entropy = _recent(history, "entropy")
    return None if entropy is None or history[0]["entropy"] <= 0 else 1 - entropy / history[0]["entropy"]


def _repetition(history: Sequence[Metrics]) -> float | None:
    share = _recent(history, "repetition")
    return None if share is None else share - history[0]["repetition"]


def _unexplained(history: Sequence[Metrics]) -> float | None:
    explained = _recent(history, "explained_variance")
    return None if explained is None or len(history) < _PRACTICE else -explained


CHECKS = (
    _Check(
        "first ratio is not 1",
        FIRST_STEP_KL,
        _now("first_approximate_kl"),
        "The update's forward isn't the rollouts' forward: dropout is on, or another temperature or mask.",
        "Turn dropout off and take both at one temperature.",
    ),
    _Check(
        "sampler and trainer disagree",
        SAMPLER_GAP,
        _now("sampler_gap_per_token"),
        "What was sampled is not what is trained: another temperature, top-p or old weights in the sampler.",
        "Sample at the trainer's temperature from the whole distribution, with the current weights.",
    ),
    _Check(
        "prompts are truncated",
        TRUNCATED_SHARE,
        _now("truncated_prompts"),
        "Prompts lose their beginning to text.max_prompt_tokens.",
        "Raise it, or leave long prompts out.",
    ),
    _Check(
        "KL budget is spent",
        KL_PER_TOKEN,
        _kl_per_token,
        "The policy has left the texts that the reward model was trained on: kl_coefficient too low, or rate too high.",
        "Raise kl_coefficient, set kl_target, or stop at an earlier checkpoint.",
    ),
    _Check(
        "nothing holds the policy",
        FREE_KL,
        _free_kl,
        "It leaves its reference and kl_coefficient is 0: it will find what the reward model is wrong about.",
        "Set kl_coefficient, or kl_target; a verifier alone may do without.",
    ),
    _Check(
        "held-out reward does not follow",
        REWARD_GAP,
        _reward_gap,
        "The policy learns what this one reward model likes and another one doesn't: over-optimisation.",
        "Stop here or earlier, raise kl_coefficient, or label answers of this policy.",
    ),
    _Check(
        "length drifts",
        LENGTH_RATIO,
        _length_ratio,
        "Answers are getting much longer or shorter than at the start: reward and length go together.",
        "Look at the reward model's length shortcut, and balance lengths in its data.",
    ),
    _Check(
        "reward is length",
        LENGTH_CORRELATION,
        _lately("length_correlation"),
        "Within an iteration, scores order answers by length almost alone.",
        "Look at the reward model's length shortcut before training on it.",
    ),
    _Check(
        "answers no longer end",
        EOS_DROP,
        _eos_drop,
        "End-of-text has become rare: answers run into max_completion_tokens.",
        "Set missing_eos_score lower, or raise max_completion_tokens.",
    ),
    _Check(
        "entropy collapses",
        1 - ENTROPY_RATIO,
        _entropy_loss,
        "The policy says nearly the same thing every time.",
        "Raise kl_coefficient or lower the learning rate.",
    ),
    _Check(
        "answers repeat themselves",
        REPETITION,
        _repetition,
        "The same three tokens come again and again: the reward model likes a phrase.",
        "Stop at an earlier checkpoint, and show labelers such answers.",
    ),
    _Check(
        "value model explains nothing",
        -EXPLAINED_VARIANCE,
        _unexplained,
        "Its values are worse than a constant, so advantages are noise.",
        "Raise value_learning_rate or value_coefficient, or start it from the reward model that is trained against.",
    ),
)
