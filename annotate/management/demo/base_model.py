"""The demo's base model from nothing: `python -m annotate.management.demo.base_model SEED FOLDER`.

The only module of the demo world that imports torch; it runs as a child process, so that its callers need none.
FOLDER is the run folder of an `sft` run, whose model does not exist yet: tokenizer and random weights are made from
data/demonstrations.parquet where config.json expects them, then the project's own SFT code trains them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhf.learning import configs, tables
from rlhf.learning.__main__ import main as run_stage

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
    # A word is the same token at the start of an answer and within a prompt: copying it is then one step to learn.
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(content=" ", left=1, right=0)])
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
            initializer_range=0.05,  # at this width the usual 0.02 learns to copy words later
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def main(*, seed: int, folder: Path) -> int:
    """Make the model that config.json names and train it. Returns the exit code of the SFT run."""
    config = configs.read("sft", folder / "config.json")
    assert isinstance(config, configs.SFTConfig)
    rows = tables.read_table(folder / "data" / "demonstrations.parquet", tables.DEMONSTRATIONS)
    tokenizer = make_tokenizer([text for row in rows for text in (row["prompt"][-1]["content"], row["completion"])])
    make_model(seed=seed, tokenizer=tokenizer).save_pretrained(config.model)
    tokenizer.save_pretrained(config.model)
    return run_stage(["sft", str(folder)])


if __name__ == "__main__":
    sys.exit(main(seed=int(sys.argv[1]), folder=Path(sys.argv[2])))
