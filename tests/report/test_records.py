"""JSON records: everything a run measures goes in and comes out, whole or not at all."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.report import write_json


class Score(NamedTuple):
    mean: float
    error: float


@dataclasses.dataclass
class Config:
    data: Path
    score: Score
    sizes: tuple[int, ...] = (1, 2)


def test_round_trip_of_all_that_runs_produce(tmp_path):
    write_json(
        tmp_path / "deep" / "metrics.json",
        {
            "numpy": np.float32(0.5),
            "jax": jnp.float32(1.5),
            "bfloat16": jnp.bfloat16(2.5),
            "whole": np.int64(2**40),
            "flag": np.True_,
            "nan": float("nan"),
            "infinite": jnp.inf,
            "array": np.array([[1.0, np.nan], [3.0, -np.inf]]),
            "config": Config(Path("a/b"), Score(1.0, 0.1)),
            50: ["é", None],
        },
    )
    text = (tmp_path / "deep" / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "numpy": 0.5,
        "jax": 1.5,
        "bfloat16": 2.5,
        "whole": 2**40,
        "flag": True,
        "nan": None,
        "infinite": None,
        "array": [[1.0, None], [3.0, None]],
        "config": {"data": "a/b", "score": {"mean": 1.0, "error": 0.1}, "sizes": [1, 2]},
        "50": ["é", None],
    }
    assert "é" in text


def test_what_json_cannot_hold_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"kept": 1})
    with pytest.raises(TypeError, match=r"value\['a'\]\[1\] is a function"):
        write_json(path, {"a": [1, lambda: 0]})
    with pytest.raises(TypeError, match="is a complex"):
        write_json(path, np.complex64(1j))
    assert json.loads(path.read_text()) == {"kept": 1}
