"""Protocols as the published work asked them, ready to be used and changed. docs/protocols.md says how each departs.

Every label, guideline and skip reason is there in English and Chinese, in our own words.
"""

from __future__ import annotations

from annotate.presets import arena, helpsteer, instructgpt, llama2, llama3
from annotate.presets.preset import Preset

PRESETS: dict[str, Preset] = {
    preset.name: preset for preset in (instructgpt.PRESET, llama2.PRESET, llama3.PRESET, helpsteer.PRESET, arena.PRESET)
}

__all__ = ("PRESETS", "Preset")
