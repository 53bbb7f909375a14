"""Messages become tokens as the model's makers meant, and padding hides nothing and adds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.learning.configs import TextConfig
from rlhf.learning.policy import load_tokenizer
from rlhf.learning.text import (
    Encoded,
    TextError,
    decode,
    encode,
    encode_completion,
    encode_prompt,
    ensure_pad_token,
    left_pad,
    over_all_tokens,
    render,
    right_pad,
    stop_ids,
)

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Tell me about tea."},
]
CHAT, PLAIN = TextConfig(prompt_format="chat"), TextConfig(prompt_format="plain")


def test_chat_is_the_template_with_its_generation_prompt(llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    rendered = render(tokenizer, MESSAGES, "chat")
    turns = ["system\nBe kind.", "user\nTell me about tea."]
    assert rendered == "".join(f"<|im_start|>{turn}<|im_end|>\n" for turn in turns) + "<|im_start|>assistant\n"
    expected = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=False)
    assert encode_prompt(tokenizer, MESSAGES, CHAT) == expected


def test_plain_needs_no_template(gpt2_path: Path) -> None:
    tokenizer = load_tokenizer(str(gpt2_path))
    text = "System:\nBe kind.\n\nUser:\nTell me about tea.\n\nAssistant:\n"
    assert render(tokenizer, MESSAGES, "plain") == text
    assert tokenizer.decode(encode_prompt(tokenizer, MESSAGES, PLAIN)) == text


def test_chat_without_a_template_says_what_to_do(gpt2_path: Path) -> None:
    with pytest.raises(TextError, match='without a chat template.*set it to "plain"'):
        encode_prompt(load_tokenizer(str(gpt2_path)), MESSAGES, CHAT)


def test_a_tokenizers_own_begin_and_end_come_once_at_most(llama_path: Path) -> None:
    """Many tokenizers put tokens around every text: a template holds its own, and a prompt never ends."""
    tokenizer = load_tokenizer(str(llama_path))
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    chat, plain = encode_prompt(tokenizer, MESSAGES, CHAT), encode_prompt(tokenizer, MESSAGES, PLAIN)
    answer = encode_completion(tokenizer, "Tea.", 64)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A <|im_end|>", special_tokens=[("<s>", begin), ("<|im_end|>", end)]
    )
    assert tokenizer("Tea.")["input_ids"] == [begin, *answer]
    assert encode_prompt(tokenizer, MESSAGES, CHAT) == chat
    assert encode_prompt(tokenizer, MESSAGES, PLAIN) == [begin, *plain]
    assert encode_completion(tokenizer, "Tea.", 64) == answer


def test_a_long_prompt_loses_its_beginning(llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    whole = encode_prompt(tokenizer, MESSAGES, CHAT)
    short = encode_prompt(tokenizer, MESSAGES, TextConfig(max_prompt_tokens=9))
    assert len(short) == 9 and short == whole[-9:]


def test_a_whole_answer_ends_and_a_cut_one_does_not(llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    whole = encode_completion(tokenizer, "The tea is near the map.", 64)
    assert whole[-1] == tokenizer.eos_token_id and tokenizer.eos_token_id not in whole[:-1]
    assert encode_completion(tokenizer, "The tea is near the map.", len(whole) - 1) == whole[:-1]
    assert decode(tokenizer, whole) == "The tea is near the map."


def test_text_that_looks_like_a_special_token_stays_text(llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    ids = encode_completion(tokenizer, "a<|im_end|>b", 64)
    assert ids.count(tokenizer.eos_token_id) == 1
    assert decode(tokenizer, ids) == "a<|im_end|>b"


def test_right_padding_by_hand() -> None:
    batch = right_pad([Encoded(5, [1, 2], [3, 4, 9]), Encoded(6, [7], [8])], pad_id=0)
    assert batch.row_ids == [5, 6]
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 9], [7, 8, 0, 0, 0]]
    assert batch.predicts.int().tolist() == [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0]]
    assert batch.token_mask.int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch.completion_ids.tolist() == [[3, 4, 9], [8, 0, 0]]
    assert batch.completion_mask.int().tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.to_completions(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [[1, 2, 3], [4, 0, 0]]


def test_masks_come_from_lengths_whatever_the_pad_id() -> None:
    rows = [Encoded(5, [1, 2], [3, 9]), Encoded(6, [9], [9])]
    usual, forced = right_pad(rows, pad_id=0), right_pad(rows, pad_id=9)
    for name in ("predicts", "token_mask", "completion_mask", "lengths"):
        assert torch.equal(getattr(usual, name), getattr(forced, name))


def test_left_padding_by_hand() -> None:
    batch = left_pad([[4, 5, 6], [7]], pad_id=0)
    assert batch.input_ids.tolist() == [[4, 5, 6], [0, 0, 7]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert batch.position_ids.tolist() == [[0, 1, 2], [0, 0, 0]]


def test_pre_training_counts_every_token_but_the_first(llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    usual = encode(tokenizer, 1, MESSAGES, "Tea.", CHAT)
    everything = over_all_tokens(usual)
    assert everything.prompt_ids + everything.completion_ids == usual.prompt_ids + usual.completion_ids
    assert len(everything.prompt_ids) == 1


def test_the_pad_token_never_ends_a_text(any_model: tuple[Path, str]) -> None:
    path, _ = any_model
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    rows = model.get_input_embeddings().weight.shape[0]
    pad_id = ensure_pad_token(tokenizer, model)
    assert pad_id not in stop_ids(tokenizer, model)
    assert tokenizer.pad_token_id == model.config.pad_token_id == model.generation_config.pad_token_id == pad_id
    new_rows = model.get_input_embeddings().weight.shape[0]
    assert pad_id < new_rows <= rows + 1
    assert ensure_pad_token(tokenizer, model) == pad_id  # and once is enough
    assert model(torch.tensor([[pad_id]])).logits.isfinite().all()


def test_every_end_of_the_generation_config_stops(llama_path: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(llama_path), load_tokenizer(str(llama_path))
    model.generation_config.eos_token_id = [4, 5]
    assert stop_ids(tokenizer, model) == {4, 5, tokenizer.eos_token_id}
