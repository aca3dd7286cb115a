"""The texts of CAPTCHAs as tokens, and texts held out from training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int, Int32

_HELD_OUT = 100  # a random stream that no image uses


def check_alphabet(alphabet: str | Sequence[str]) -> None:
    """Raise a ValueError unless an alphabet consists of different, visible, single characters."""
    if not alphabet:
        raise ValueError("the alphabet is empty; expected the characters that texts are made of, such as '0123456789'.")
    if repeated := sorted({c for c in alphabet if list(alphabet).count(c) > 1}):
        raise ValueError(f"the alphabet repeats {repeated}: name every character once.")
    if bad := [c for c in alphabet if len(c) != 1 or c.isspace() or not c.isprintable()]:
        raise ValueError(f"the alphabet holds {bad}; expected single characters that can be seen.")


def encode_texts(texts: Iterable[str], alphabet: str | Sequence[str]) -> Int32[np.ndarray, "n length"]:
    """Encode texts of one length as tokens, the indices of their characters in the alphabet.

    Args:
        texts: N ≥ 1 texts of one length L ≥ 1.
        alphabet: different characters that can be seen, in the order of their tokens.

    Returns:
        Tokens (N, L), int32.

    Raises:
        ValueError: if there are no texts, one is empty, lengths differ, a character is outside the alphabet, or the
            alphabet is empty or holds a character twice or one that cannot be seen.
    """
    check_alphabet(alphabet)
    texts = list(texts)
    if not texts:
        raise ValueError("there are no texts to encode.")
    for text in texts:
        check_text(text, alphabet, len(texts[0]), f"the text {text!r}")
    token = {character: i for i, character in enumerate(alphabet)}
    return np.array([[token[character] for character in text] for text in texts], np.int32)


def decode_texts(tokens: Int[np.ndarray, "n length"], alphabet: str | Sequence[str]) -> list[str]:
    """Decode tokens to texts: the inverse of `encode_texts`.

    Args:
        tokens: integers (N, L).
        alphabet: as in `encode_texts`, such as the `label_names` of a dataset.

    Returns:
        N texts.

    Raises:
        ValueError: if a token lies outside [0, len(alphabet)), or the alphabet is refused as by `encode_texts`.
    """
    check_alphabet(alphabet)
    tokens = np.asarray(tokens)
    size = len(alphabet)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < size:
        raise ValueError(f"tokens span [{tokens.min()}, {tokens.max()}]; an alphabet of {size} has 0 to {size - 1}.")
    return ["".join(alphabet[token] for token in row) for row in tokens]


def check_text(text: str, alphabet: str | Sequence[str], length: int, what: str) -> None:
    """Raise a ValueError that names `what` if its text has another length or other characters."""
    if len(text) != length or not length:
        raise ValueError(f"{what} has {len(text)} characters; expected {max(length, 1)}.")
    if outside := sorted(set(text) - set(alphabet)):
        raise ValueError(f"{what} has the characters {outside} outside the alphabet {''.join(alphabet)!r}.")


def held_out_texts(count: int, alphabet: str | Sequence[str], length: int, seed: int = 0) -> tuple[str, ...]:
    """Choose `count` different random texts for the argument `held_out` of `render_captchas`.

    The first k of them are those of `count=k`.

    Args:
        count: number of texts, at least 1 and fewer than there are.
        alphabet: as in `encode_texts`.
        length: number of characters of a text, at least 1.
        seed: an integer from 0.

    Returns:
        `count` texts, all different.

    Raises:
        ValueError: if length or count is below 1, no text is left to draw, seed < 0, or the alphabet is refused as by
            `encode_texts`.
    """
    check_alphabet(alphabet)
    if length < 1 or seed < 0:
        raise ValueError(f"length is {length} and seed {seed}; expected a length from 1 and a seed from 0.")
    total = len(alphabet) ** length
    if not 1 <= count < total:
        raise ValueError(f"count is {count}; expected 1 to {total - 1} of {total} texts: leave some to draw.")
    chosen: dict[str, None] = {}
    batch = 0
    while len(chosen) < count:
        digits = np.random.default_rng((seed, _HELD_OUT, batch)).random((1024, length)) * len(alphabet)
        chosen.update(dict.fromkeys(decode_texts(digits.astype(np.int32), alphabet)))
        batch += 1
    return tuple(chosen)[:count]
