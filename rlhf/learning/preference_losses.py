"""The losses of preferences, for reward models and for policies: pure functions of tensors and numbers.

Each sums over comparisons with weights that add up to 1 over the whole optimiser step, so that splitting a batch
changes no number. All comparisons of a ranking belong into one call: K completions then cost K forwards.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def pairwise_loss(
    scores: Tensor,
    winners: Tensor,
    losers: Tensor,
    pair_weights: Tensor,
    margins: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Bradley-Terry loss: the weighted sum of -log sigma(r_chosen - r_rejected - m) over comparisons.

    With pair weights w / (C(K, 2) sum w) and no margin it is InstructGPT's equation 1, averaged by weight over rankings
    (ties are dropped, so C(K, 2) becomes the number of strict comparisons). Margins m: Llama 2, equation 2. With label
    smoothing e a share e of labels is taken for a flip, and a comparison costs
    -(1 - e) log sigma(d - m) - e log sigma(-d - m), d the difference of the scores (Mitchell 2023, conservative DPO).

    scores: (N,), one per completion. winners, losers: (P,), indices into scores. pair_weights, margins: (P,), the
    weights summing to 1 over the whole optimiser step. label_smoothing: 0 <= e < 1/2. Returns a scalar, in nats.
    """
    assert scores.dim() == 1 and winners.shape == losers.shape == pair_weights.shape, (scores.shape, winners.shape)
    differences = scores[winners] - scores[losers]  # (P,)
    right = F.logsigmoid(differences if margins is None else differences - margins)
    if not label_smoothing:
        return -(pair_weights * right).sum()
    wrong = F.logsigmoid(-differences if margins is None else -differences - margins)
    return -(pair_weights * ((1 - label_smoothing) * right + label_smoothing * wrong)).sum()


def safety_loss(scores: Tensor, safe: Tensor, weights: Tensor) -> Tensor:
    """Llama 2's auxiliary loss (2307.09288, appendix A.3.3): the weighted sum of -y ln sigma(r) - (1 - y) ln sigma(-r).

    It gives raw scores a zero point: sigma(r) becomes the probability that a completion is safe, which the threshold
    of 0.15 of the piecewise reward (section 3.2.3) is about. The paper gives no formula; a score counts as "unsafe"
    below 0 there, which this loss makes its boundary.

    scores: (N,), raw. safe: (N,), y = 1 for safe, 0 for unsafe. weights: (N,), 0 for completions without a label.
    Returns a scalar, in nats.
    """
    assert scores.dim() == 1 and scores.shape == safe.shape == weights.shape, (scores.shape, safe.shape)
    return -(weights * (safe * F.logsigmoid(scores) + (1 - safe) * F.logsigmoid(-scores))).sum()


def rao_kupper_loss(
    scores: Tensor,
    winners: Tensor,
    losers: Tensor,
    tied: Tensor,
    pair_weights: Tensor,
    threshold: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Negative log-likelihood of comparisons with ties, after Rao and Kupper 1967 (equations 2.1 and 2.2).

    P(i beats j) = e^ri / (e^ri + theta e^rj) = sigma(d - ln theta), d = ri - rj; what is left to 1 is the tie:
    P(tie) = (theta^2 - 1) sigma(d - ln theta) sigma(-d - ln theta). Label smoothing mixes the two decided outcomes.

    tied: (P,) bool, where winners and losers are just the two. threshold: theta > 1; at equal scores a tie has the
    probability (theta - 1) / (theta + 1). The rest as in `pairwise_loss`.
    """
    assert tied.dtype == torch.bool and tied.shape == winners.shape, (tied.dtype, tied.shape, winners.shape)
    assert threshold > 1, threshold
    differences = scores[winners] - scores[losers]  # (P,)
    eta = math.log(threshold)
    right, wrong = F.logsigmoid(differences - eta), F.logsigmoid(-differences - eta)
    decided = (1 - label_smoothing) * right + label_smoothing * wrong
    tie = math.log(math.expm1(2 * eta)) + right + wrong
    return -(pair_weights * torch.where(tied, tie, decided)).sum()


def davidson_loss(
    scores: Tensor,
    winners: Tensor,
    losers: Tensor,
    tied: Tensor,
    pair_weights: Tensor,
    threshold: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Negative log-likelihood of comparisons with ties, after Davidson 1970 (equation 2.2).

    P(i beats j) : P(j beats i) : P(tie) = e^ri : e^rj : nu e^((ri + rj) / 2), that is, a softmax of (d/2, -d/2, ln nu).

    threshold: nu > 0; at equal scores a tie has the probability nu / (2 + nu). The rest as in `rao_kupper_loss`.
    """
    assert tied.dtype == torch.bool and tied.shape == winners.shape, (tied.dtype, tied.shape, winners.shape)
    assert threshold > 0, threshold
    half = (scores[winners] - scores[losers]) / 2  # (P,)
    outcomes = torch.stack([half, -half, torch.full_like(half, math.log(threshold))], dim=1).log_softmax(1)  # (P, 3)
    decided = (1 - label_smoothing) * outcomes[:, 0] + label_smoothing * outcomes[:, 1]
    return -(pair_weights * torch.where(tied, outcomes[:, 2], decided)).sum()


def tie_threshold(ties: str, tie_share: float) -> float:
    """The threshold at which equal scores tie with probability t: (1 + t) / (1 - t) for Rao-Kupper, 2t / (1 - t) else.

    tie_share: t, kept within [0.001, 0.999]: without ties there is no threshold to learn from. Scores of real pairs
    differ, so a model that fits ties somewhat less often than t.
    """
    share = min(max(tie_share, 0.001), 0.999)
    return (1 + share) / (1 - share) if ties == "rao_kupper" else 2 * share / (1 - share)


def dpo_loss(
    log_ratios: Tensor,
    winners: Tensor,
    losers: Tensor,
    pair_weights: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """DPO: the pairwise loss of the implicit rewards beta log(pi / pi_ref) (Rafailov et al. 2023, equation 7).

    log_ratios: (N,), log pi - log pi_ref summed over each completion, nats. The rest as in `pairwise_loss`.
    """
    return pairwise_loss(beta * log_ratios, winners, losers, pair_weights, label_smoothing=label_smoothing)


def ipo_loss(mean_log_ratios: Tensor, winners: Tensor, losers: Tensor, pair_weights: Tensor, beta: float) -> Tensor:
    """IPO: the weighted sum of (h - 1 / (2 beta))^2, h the difference of log-ratios (Azar et al. 2023, equation 17).

    mean_log_ratios: (N,), log pi - log pi_ref as a mean over each completion's tokens: the sums of the paper's equation
    would ask more of long completions, and its authors confirmed the means (TRL, dpo_trainer.py).
    """
    assert mean_log_ratios.dim() == 1 and winners.shape == losers.shape == pair_weights.shape, winners.shape
    differences = mean_log_ratios[winners] - mean_log_ratios[losers]
    return (pair_weights * (differences - 1 / (2 * beta)).square()).sum()


def kto_loss(
    log_ratios: Tensor, desirable_weights: Tensor, undesirable_weights: Tensor, kl: float, beta: float
) -> Tensor:
    """KTO: sum of w_D (1 - sigma(beta (h - z))) + w_U (1 - sigma(beta (z - h))) (Ethayarajh et al. 2024, equation 8).

    log_ratios: h, (N,), log pi - log pi_ref summed over each completion, nats. desirable_weights, undesirable_weights:
    (N,), lambda times the share of the loss; a completion that won some comparisons and lost others has both. kl: z, 0
    or more, the estimate of KL(pi || pi_ref) from completions of other prompts, without gradient.
    """
    assert log_ratios.dim() == 1 and log_ratios.shape == desirable_weights.shape == undesirable_weights.shape
    desirable = desirable_weights * (1 - torch.sigmoid(beta * (log_ratios - kl)))
    undesirable = undesirable_weights * (1 - torch.sigmoid(beta * (kl - log_ratios)))
    return (desirable + undesirable).sum()
