"""A `deliver` run: a saved adapter merged into its model, for plain transformers.

W + alpha / rank x B A is computed in float32 by peft's own merge, with which every later stage starts: the merged
weights are those that the version answers with here.
"""

from __future__ import annotations

from pathlib import Path

from rlhf.learning import loop, lora, policy, reward_model
from rlhf.learning.configs import DeliverConfig


def run(folder: Path, config: DeliverConfig) -> None:
    """Write model/: whole weights, tokenizer beside them. A second start merges again.

    Raises:
        ModelError, AdapterError: the model or its adapter doesn't load.
    """
    device = loop.set_up(config.engine)
    work = loop.Run(folder, "deliver", config.engine, total_steps=1)
    target = folder / "model"
    if lora.is_of_classifier(config.model):
        scorer = reward_model.load_trained(config.model, device)
        work.stop_if_asked()
        reward_model.save(scorer, target)
        network = scorer.network
    else:
        found = policy.load_policy(config.model, device)
        work.stop_if_asked()
        policy.save_policy(found, target)
        network = found.model
    work.step = 1
    work.log("deliver", {})
    work.finish({"num_parameters": sum(p.numel() for p in network.parameters())}, ["model"])
