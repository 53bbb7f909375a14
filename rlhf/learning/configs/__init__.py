"""What a run is asked to do: frozen, validated dataclasses, read from and written to `config.json`.

Torch-free, so that the web process can validate a configuration before it queues a run.
A configuration is unpacked before the maths: losses take numbers, never a config.
"""

from rlhf.learning.configs.delivery import DeliverConfig
from rlhf.learning.configs.direct import DPOConfig
from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, SamplingConfig, ServerConfig, TextConfig
from rlhf.learning.configs.errors import ConfigError, InputError
from rlhf.learning.configs.group import GRPOConfig
from rlhf.learning.configs.judging import EstimateConfig, JudgeConfig, JudgeEntry, VersionEntry
from rlhf.learning.configs.lora import LoRAConfig
from rlhf.learning.configs.ppo import PPOConfig
from rlhf.learning.configs.reading import CONFIGS, Config, from_dict, read, to_dict
from rlhf.learning.configs.reward import RewardConfig
from rlhf.learning.configs.rewards import RewardsConfig
from rlhf.learning.configs.sampling import BestOfNConfig, SampleConfig
from rlhf.learning.configs.sft import SFTConfig

__all__ = [
    "CONFIGS",
    "BestOfNConfig",
    "Config",
    "ConfigError",
    "DPOConfig",
    "DeliverConfig",
    "EngineConfig",
    "EstimateConfig",
    "GRPOConfig",
    "InputError",
    "JudgeConfig",
    "JudgeEntry",
    "LoRAConfig",
    "OptimizerConfig",
    "PPOConfig",
    "RewardConfig",
    "RewardsConfig",
    "SFTConfig",
    "SampleConfig",
    "SamplingConfig",
    "ServerConfig",
    "TextConfig",
    "VersionEntry",
    "from_dict",
    "read",
    "to_dict",
]
