"""What the learning core claims, measured: `python -m benchmarks.proofs` (or `make proofs`).

    labels            more labels make a better reward model; how far it stays below what the known noise allows
    rounds            gold rises round by round, by reward model, best-of-n and PPO
    overoptimisation  beta = 0 past the gold peak, and where Gao et al.'s form sees that peak coming
    best_of_n_kl      ln n - (n - 1)/n against the exact KL where every completion can be listed
    failures          injected failures raise their alarms, healthy runs don't
    report_card       planted label noise is recovered, a planted length bias is flagged

Every module computes from sizes and seeds and decides nothing by itself; tests/proofs call the same functions small.
The world is the demo's: prompts, labelers with known noise, and a hidden gold score (annotate/management/demo).
"""
