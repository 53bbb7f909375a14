"""Prompts: once each, on a side that never changes, and bad rows named by their line."""

import json

import pytest

from rlhf import prompt_files
from rlhf.models import MAX_TEXT, Split
from rlhf.prompts import BadPrompt, add, new_prompt, split_of


def test_the_same_messages_are_stored_once_per_project(project, other_project):
    texts = [new_prompt(value=f"Question {index}?") for index in range(3)]
    assert add(project=project, prompts=[*texts, texts[0]], source="test").num_added == 3
    again = add(project=project, prompts=texts, source="test")
    assert (again.num_added, again.num_duplicates) == (0, 3)
    assert add(project=other_project, prompts=texts, source="test").num_added == 3


def test_more_than_one_batch_lands_whole(project):
    texts = (new_prompt(value=f"Question {index}?") for index in range(1_203))
    assert add(project=project, prompts=texts, source="test").num_added == 1_203
    assert project.prompts.count() == 1_203


def test_the_held_out_share_is_kept_and_near_duplicates_share_a_side(project):
    project.held_out_share = 0.2
    sides = [split_of(project=project, messages=[{"role": "user", "content": f"Q {i}"}]) for i in range(5_000)]
    assert abs(sides.count(Split.HELD_OUT) / 5_000 - 0.2) < 0.02
    for index in range(50):
        spellings = (f"What is {index}?", f"  what IS {index} ", f"What is {index}!!")
        assert len({split_of(project=project, messages=[{"role": "user", "content": t}]) for t in spellings}) == 1


def test_later_turns_stay_on_the_side_of_their_root(project):
    opening = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who are you?"}]
    longer = [*opening, {"role": "assistant", "content": "Me."}, {"role": "user", "content": "Sure?"}]
    assert split_of(project=project, messages=opening) == split_of(project=project, messages=longer)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", "found nothing"),
        ("  ", "found '  '"),
        ([], "found []"),
        ([{"role": "robot", "content": "x"}], "found 'robot'"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "found the assistant's"),
        ([{"role": "user"}], "message 1"),
        ("x" * (MAX_TEXT + 1), "found 100,001"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (7, "found 7"),
    ],
)
def test_a_bad_prompt_is_refused_with_what_was_found(value, found):
    with pytest.raises(BadPrompt, match="expected") as caught:
        new_prompt(value=value)
    assert found in caught.value.message


def test_jsonl_good_rows_come_out_and_bad_rows_are_named_by_line():
    messages = [{"role": "user", "content": "Hi"}]
    lines = [
        json.dumps({"prompt": "One?", "category": "a"}),
        "{not json",
        "",
        json.dumps({"messages": messages, "extra": 1}),
        json.dumps({"text": "no"}),
    ]
    parsed = prompt_files.parse(name="p.jsonl", content="\n".join(lines).encode())
    assert [(prompt.messages[0]["content"], prompt.category) for prompt in parsed.prompts] == [
        ("One?", "a"),
        ("Hi", ""),
    ]
    assert [row.line for row in parsed.bad_rows] == [2, 5]
    assert "found neither among text" in parsed.bad_rows[1].message


def test_csv_rows_are_named_by_their_first_line():
    content = b'\xef\xbb\xbfprompt,category\n"two\nlines",a\n\n,b\none,two,three\nlast,\n'
    parsed = prompt_files.parse(name="p.CSV", content=content)
    assert [prompt.messages[0]["content"] for prompt in parsed.prompts] == ["two\nlines", "last"]
    assert [row.line for row in parsed.bad_rows] == [5, 6]
    assert "expected 2 columns, found 3" in parsed.bad_rows[1].message


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("p.txt", b"x", "ends in .jsonl or .csv"),
        ("p.jsonl", b"", "found no rows"),
        ("p.csv", b"", "found no rows"),
        ("p.csv", b"question\nx\n", "found question"),
        ("p.jsonl", b'{"a": 1}', "1 bad rows (line 1"),
        ("p.jsonl", b'{"prompt": "ok"}\n\xff', "byte 0xff in line 2"),
        ("p.jsonl", b"x" * (20 * 1024 * 1024 + 1), "found 20.0 MB"),
    ],
)
def test_a_file_without_a_good_row_is_refused_in_one_sentence(name, content, found):
    with pytest.raises(prompt_files.BadPromptFile) as caught:
        prompt_files.parse(name=name, content=content)
    assert found in caught.value.message


def test_targets_come_from_both_kinds_of_file():
    jsonl = prompt_files.parse(name="a.jsonl", content=b'{"prompt": "6 x 7?", "target": 42}\n{"prompt": "Why?"}\n')
    csv = prompt_files.parse(name="a.csv", content=b"prompt,target\n6 x 7?, 42\nWhy?,\n")
    assert [prompt.target for prompt in jsonl.prompts] == [prompt.target for prompt in csv.prompts] == ["42", ""]


@pytest.mark.parametrize("target", [["42"], True, "a\0b", "x" * 2_001])
def test_a_target_that_is_no_short_text_is_refused(target):
    with pytest.raises(BadPrompt, match="expected a target of at most 2,000 characters"):
        new_prompt(value="6 x 7?", target=target)
