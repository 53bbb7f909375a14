"""The alarm on judges that drift apart: the rule case by case, and chains of versions that are simulated."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from rlhf.learning.stats.intervals import clustered_mean
from rlhf.learning.stats.over_optimisation import Alarm, over_optimisation

Floats = NDArray[np.float64]
PROMPTS = np.arange(1_000)
# What each prompt makes of the difference between two versions; the mean of expit(gap + it) is the true win rate.
SPREAD = np.random.default_rng(0).normal(size=10_000)


def alarm_of(reward_wins: int, wins: int, num: int = 400, step: int = 1, length_ratio: float = 1.0) -> Alarm | None:
    reward, independent = np.arange(num) < reward_wins, np.arange(num)[::-1] < wins
    return over_optimisation(reward, independent, range(num), "reward model 3", "people", step, length_ratio)


def test_red_where_the_reward_model_praises_what_people_reject() -> None:
    found = alarm_of(280, 140)
    assert found is not None and found.level == "red"
    assert (found.reward_win_rate, found.win_rate) == pytest.approx((0.7, 0.35))
    assert found.difference == pytest.approx(0.35) and 0 < found.low < 0.35 < found.high
    assert found.win_rate_high < 0.5
    assert found.sentence == (
        "70 % by reward model 3, 35 % by people: this version has learned mistakes of reward model 3 and is worse by "
        "people; go back to the older one and train the reward model on comparisons of this one's answers."
    )


def test_amber_where_people_cannot_tell_the_versions_apart() -> None:
    found = alarm_of(280, 205, length_ratio=1.34)
    assert found is not None and found.level == "amber"
    assert found.sentence == (
        "70 % by reward model 3, 51 % by people: the gain with answers 34 % longer isn't confirmed by people and may "
        "be mistakes of reward model 3; judge more prompts by people, and raise the KL coefficient or stop earlier."
    )


@pytest.mark.parametrize(
    ("reward_wins", "wins", "why"),
    [
        (360, 260, "people prefer the new version too"),
        (190, 100, "the reward model doesn't praise it"),
        (210, 205, "the two don't differ for sure"),
        (200, 280, "people like it better than the reward model does"),
    ],
)
def test_no_alarm(reward_wins: int, wins: int, why: str) -> None:
    assert alarm_of(reward_wins, wins) is None, why


def test_red_takes_more_proof_the_more_versions_were_compared() -> None:
    levels = [found.level for step in (1, 3, 10, 100) if (found := alarm_of(280, 170, step=step))]
    assert levels == ["red", "red", "amber", "amber"]  # 3.03 standard errors under a half; quantiles 2.2, 2.9, 3.6
    assert [found.level for step in (1, 100) if (found := alarm_of(280, 140, step=step))] == ["red", "red"]


def test_prompts_are_the_clusters() -> None:
    reward, independent = np.tile([1.0] * 7 + [0.0] * 3, 40), np.tile([0.0] * 6 + [1.0] * 4, 40)
    apart = over_optimisation(reward, independent, range(400), "r", "j")
    together = over_optimisation(reward, independent, [*range(10)] * 40, "r", "j")
    assert apart is not None and apart.level == "red"
    assert together is None or together.level == "amber"


def test_nothing_to_judge_and_no_step_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        over_optimisation([], [], [], "r", "j")
    with pytest.raises(ValueError, match="step of 1"):
        over_optimisation([1.0], [0.0], [1], "r", "j", step=0)


def judged(random: np.random.Generator, gap: float, proxy_gap: float) -> tuple[Floats, Floats]:
    """Unit scores by the reward model and by an independent judge; prompts that suit a version suit it for both."""
    spread = random.normal(size=len(PROMPTS))
    chances = expit(np.stack([proxy_gap + spread, gap + spread]))
    reward, independent = (random.random(chances.shape) < chances).astype(float)
    return reward, independent


def test_a_chain_that_is_over_optimised_turns_red_in_time_and_amber_before(capsys: pytest.CaptureFixture[str]) -> None:
    # Gao et al. 2022 (arXiv 2210.10760): gold = d (alpha - beta ln d), d the square root of KL; the proxy goes on.
    # Each version meets the best so far, which a new one becomes where the judge's interval lies above a half.
    d = 0.6 * np.arange(13)
    gold, proxy = d * (1.6 - 0.75 * np.log(np.maximum(d, 1e-9))), 1.6 * d
    seeds, red, amber, steps = 1_000, 0, 0, []
    for seed in range(seeds):
        random, best, warned = np.random.default_rng(seed), 0, False
        for step in range(1, len(d)):
            reward, independent = judged(random, gold[step] - gold[best], proxy[step] - proxy[best])
            found = over_optimisation(reward, independent, PROMPTS, "r", "j", step)
            if expit(gold[step] - gold[best] + SPREAD).mean() <= 0.42:  # the true win rate against the best so far
                red += found is not None and found.level == "red"
                amber += warned
                steps.append(step)
                break
            warned |= found is not None
            if clustered_mean(independent, PROMPTS).low > 0.5:
                best = step
    with capsys.disabled():
        print(f"\nover-optimised: red in {red / seeds:.1%}, warned before in {amber / seeds:.1%}, at step {set(steps)}")
    assert len(steps) == seeds
    assert red / seeds >= 0.9
    assert amber / seeds >= 0.9


@pytest.mark.parametrize("praise", [0.0, 0.4], ids=["both_judges_see_equals", "the_reward_model_sees_gains"])
def test_chains_of_equal_versions_seldom_turn_red(praise: float, capsys: pytest.CaptureFixture[str]) -> None:
    seeds, red = 1_000, 0
    for seed in range(seeds):
        random, best = np.random.default_rng(10_000 + seed), 0
        for step in range(1, 10):
            reward, independent = judged(random, 0.0, praise * (step - best))
            found = over_optimisation(reward, independent, PROMPTS, "r", "j", step)
            if found is not None and found.level == "red":
                red += 1
                break
            if clustered_mean(independent, PROMPTS).low > 0.5:
                best = step
    with capsys.disabled():
        error = math.sqrt(0.025 * 0.975 / seeds)
        print(f"\nten equal versions, praise {praise}: red in {red / seeds:.1%}; Monte Carlo error {error:.1%}")
    assert red / seeds <= 0.05
