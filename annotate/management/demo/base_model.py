"""A Llama that knows nothing yet, with its tokenizer: `python -m ...demo.base_model CORPUS SEED FOLDER`.

The only module of the demo world that imports torch; it runs as a child process, so that its callers need none.
CORPUS is a text file that the byte-level BPE tokenizer is trained on, a JSON string per line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
VOCABULARY_SIZE = 768
MAX_TOKENS = 512

# Each turn opens with a token of its role; only the assistant's turns end, with the token that ends its answers.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% if message.role == 'assistant' %}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 768 tokens: any text can be written with it, the demo's words mostly with one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_TOKENS,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def make_model(*, seed: int, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Random weights of about 0.45 M parameters: few enough for one core, enough to copy words out of a prompt."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=1,
            intermediate_size=352,
            tie_word_embeddings=True,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def main(corpus: Path, seed: int, folder: Path) -> None:
    texts = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    tokenizer = make_tokenizer(texts)
    make_model(seed=seed, tokenizer=tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
