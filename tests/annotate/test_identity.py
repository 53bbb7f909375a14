"""Which answers give away the model that wrote them, and which only speak of one."""

from __future__ import annotations

import pytest

from annotate.identity import gives_itself_away


@pytest.mark.parametrize(
    "text",
    [
        "Hello! I am ChatGPT, a large language model.",
        "I'm Claude.",
        "My name is Vicuna.",
        "Sure. This is GPT-4o speaking",
        "As an AI language model developed by OpenAI, I can't",
        "I was trained by Google.",
        "I am your AI assistant called Gemini",
        "我是由阿里云开发的通义千问。",
        "我叫豆包",
        "You can call me ppo-v3 if you like",
        "I am meadow/Tiny-7B.",
    ],
)
def test_an_answer_that_says_who_it_is_gives_itself_away(text: str) -> None:
    assert gives_itself_away(text=text, names=["ppo-v3", "meadow/Tiny-7B"])


@pytest.mark.parametrize(
    "text",
    [
        "Claude Monet painted it.",
        "As Claude Monet said, light is everything.",
        "Gemini is a sign of the zodiac, and this is a llama.",
        "Use OpenAI's interface; ChatGPT answers there.",
        "I am tiny, and I am happy to help.",
        "Dear Ruth, I am back.",
        "我是你的邻居。",
    ],
)
def test_an_answer_that_only_speaks_of_a_model_does_not(text: str) -> None:
    assert not gives_itself_away(text=text, names=["tiny", "v1"])
