"""Text of 27 symbols from the documentation of Python's standard library: data that need no download."""

import ast
import functools
import importlib
import re
import sysconfig
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "encodings", "site-packages", "dist-packages"}


def encode_symbols(text: str) -> Int32[np.ndarray, " n"]:
    """Encode a text in 27 symbols: 0 for a space, 1 to 26 for the letters.

    Capitals become small letters, and everything else a single space.

    Args:
        text: any text.

    Returns:
        Integers from 0 to 26.

    Reference:
        Mahoney 2006, "About the test data", for the symbols of text8. There digits are spelled out, here not.
    """
    plain = re.sub("[^a-z]+", " ", text.lower())
    codes = np.frombuffer(plain.encode("ascii"), np.uint8).astype(np.int32)
    return np.where(codes == ord(" "), 0, codes - ord("a") + 1).astype(np.int32)


def decode_symbols(symbols: Integer[np.ndarray, " n"]) -> str:
    """Decode integers from 0 to 26.

    Args:
        symbols: one text.

    Returns:
        The text.

    Raises:
        ValueError: if an integer is out of range.
    """
    symbols = np.asarray(symbols)
    if symbols.size and not (symbols.min() >= 0 and symbols.max() < len(SYMBOLS)):
        raise ValueError(f"symbols go from 0 to {len(SYMBOLS) - 1}, got {symbols.min()} to {symbols.max()}")
    return "".join(SYMBOLS[i] for i in symbols)


@functools.cache
def documentation_text() -> str:
    """Collect the documentation of the running Python's standard library.

    It is the text of `help()`'s topics and of the docstrings of all modules, classes and functions, in the order of
    their files; tests are left out. Sources are parsed and never executed. It differs between versions of Python.

    Returns:
        The text.
    """
    topics = importlib.import_module("pydoc_data.topics").topics
    library = Path(sysconfig.get_path("stdlib"))
    files = [file for file in sorted(library.rglob("*.py")) if not _LEFT_OUT & set(file.relative_to(library).parts)]
    texts = [topics[name] for name in sorted(topics)]
    for file in files:
        if file.parent.name != "pydoc_data":
            texts += _docstrings(file)
    return "\n".join(texts)


def text_windows(symbols: Integer[np.ndarray, " n"], length: int) -> Integer[np.ndarray, "m length"]:
    """Cut a text into windows that do not overlap.

    Args:
        symbols: the text.
        length: symbols of a window, at least 1 and at most n.

    Returns:
        The windows; what is left at the end is dropped.

    Raises:
        ValueError: if length is out of range.
    """
    if not 1 <= length <= len(symbols):
        raise ValueError(f"length must lie in 1 … {len(symbols)}, the length of the text, got {length}")
    return symbols[: len(symbols) // length * length].reshape(-1, length)


def _docstrings(file: Path) -> list[str]:
    """The docstrings of a file, none where it cannot be parsed."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]
