"""The recipe is one that learning and the loop accept, and the base model is made once and found again."""

from functools import partial
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from annotate.management.demo import base_model, grammar, pretraining, recipe
from rlhf import loop_settings
from rlhf.learning import configs


def test_the_project_loop_accepts_the_recipe() -> None:
    for sizes in recipe.SIZES.values():
        settings = loop_settings.parse(recipe.loop_settings(seed=2, num_rounds=3, judge_port=20_000, sizes=sizes))
        assert settings.num_rounds == 3 and settings.seed == 2


def test_the_judge_and_pretraining_configurations_are_complete() -> None:
    configs.from_dict("judge", recipe.judge(seed=0) | {"reward_model": "somewhere"})
    configs.from_dict("sft", recipe.pretraining(seed=0) | {"model": "somewhere"})


@pytest.fixture(scope="module")
def texts() -> list[str]:
    examples = [grammar.corpus_example(seed=0, index=index) for index in range(2_000)]
    return [text for request, answer in examples for text in (request.text, answer)]


def test_the_tokenizer_writes_any_text_and_gives_it_back(texts: list[str]) -> None:
    tokenizer = base_model.make_tokenizer(texts)
    for text in ["Anna, the lamp is ready.", "Größe: 3 €!", "  two  spaces", "1. a\n2. b", "日本"]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_special_tokens_differ_and_every_turn_opens_with_one(texts: list[str]) -> None:
    tokenizer = base_model.make_tokenizer(texts)
    assert len(tokenizer) == 768
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    messages = [{"role": "user", "content": "Greet Anna."}, {"role": "assistant", "content": "Hello Anna."}]
    asked = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<|user|>Greet Anna.<|assistant|>"
    assert tokenizer.apply_chat_template(messages, tokenize=False) == f"{asked}Hello Anna.<|end|>"


def test_a_slot_word_is_the_same_token_wherever_it_stands(texts: list[str]) -> None:
    tokenizer = base_model.make_tokenizer(texts)
    first = tokenizer("Anna, hello.", add_special_tokens=False)["input_ids"][0]
    assert tokenizer("Greet Anna", add_special_tokens=False)["input_ids"][-1] == first


def test_equal_seeds_give_equal_weights(texts: list[str]) -> None:
    tokenizer = base_model.make_tokenizer(texts)
    models = [base_model.make_model(seed=seed, tokenizer=tokenizer) for seed in (0, 0, 1)]
    one, two, other = (model.lm_head.weight for model in models)
    assert one.equal(two) and not one.equal(other)
    assert 400_000 < models[0].num_parameters() < 500_000


def test_the_base_model_is_made_once_and_then_found(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ask = partial(pretraining.ensure, cache=tmp_path, seed=0, num_examples=320)
    folder = ask(on_progress=lambda step, total: seen.append((step, total)))
    made_at = folder.stat().st_mtime_ns
    again = ask(on_progress=lambda *_: pytest.fail("trained again"))
    assert again == folder and folder.stat().st_mtime_ns == made_at
    assert seen[-1] == (20, 20)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == len(AutoTokenizer.from_pretrained(folder))


def test_another_seed_or_recipe_is_another_base_model() -> None:
    rows = pretraining.corpus_rows(seed=0, num_examples=20)
    names = {pretraining.fingerprint(seed=0, rows=rows), pretraining.fingerprint(seed=1, rows=rows)}
    names.add(pretraining.fingerprint(seed=0, rows=rows[:-1]))
    assert len(names) == 3


def test_a_failed_child_leaves_nothing_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = recipe.pretraining(seed=0) | {"text": {"prompt_format": "chat", "max_prompt_tokens": 5_000}}
    monkeypatch.setattr(recipe, "pretraining", lambda *, seed: bad)
    with pytest.raises(pretraining.PretrainingFailed, match="exit code 2"):
        pretraining.ensure(cache=tmp_path, seed=0, num_examples=20, on_progress=lambda *_: None)
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
