"""Whether two models mean the same by a token id: what one wrote, the other can only read if they do."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from rlhf.learning.configs import InputError


class OtherTokens(InputError):
    """Two models of one run that don't mean the same by a token id."""


def require_same_tokens(
    name: str, tokenizer: PreTrainedTokenizerBase, other_name: str, other: PreTrainedTokenizerBase
) -> None:
    """Raise OtherTokens unless both give every text token the same id; the pad token may differ."""
    pads = {tokenizer.pad_token, other.pad_token}
    one, two = (
        {token: index for token, index in t.get_vocab().items() if token not in pads} for t in (tokenizer, other)
    )
    if one != two or tokenizer.eos_token_id != other.eos_token_id:
        differing = sorted(token for token in one.keys() | two.keys() if one.get(token) != two.get(token))
        raise OtherTokens(
            f"{other_name}: found another tokenizer than that of {name} ({len(one)} and {len(two)} tokens, "
            f"{len(differing)} of them with other ids, {differing[:3]}), expected the same in one run"
        )
