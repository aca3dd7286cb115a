"""What a stage records is what it returns, once; a record of anything else is refused."""

import os
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.kit.stages import recorded
from experiments.kit.statistics import verdict
from jaxgen.metrics import MeanAndError


def result():
    return {
        "share": MeanAndError(0.5, 0.1),
        "images": [jnp.arange(6.0).reshape(2, 3), np.float64(2.5), np.arange(3, dtype=np.uint8)],
        "texts": ("a", None, True, 1 + 2j, {"nested": {1, 2}}),
    }


def test_a_record_returns_what_was_computed_without_computing_again(tmp_path):
    calls = []

    def compute():
        calls.append(None)
        return result()

    first, second = (recorded(tmp_path / "a" / "stage.pickle", compute) for _ in range(2))
    assert len(calls) == 1
    for found in (first, second):
        assert found["share"] == MeanAndError(0.5, 0.1)
        assert type(found["share"]) is MeanAndError
        assert found["texts"] == result()["texts"]
        for ours, theirs in zip(found["images"], result()["images"], strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert isinstance(ours, np.ndarray | np.generic)
            assert ours.dtype == theirs.dtype


def test_a_dict_keeps_its_order_and_what_no_resumed_run_could_read_is_refused_at_once(tmp_path):
    rows = {"b": jnp.ones(2), "a": 1}
    for _ in range(2):
        assert list(recorded(tmp_path / "rows.pickle", lambda: rows)) == ["b", "a"]
    with pytest.raises(pickle.UnpicklingError, match="may not hold"):
        recorded(tmp_path / "function.pickle", lambda: verdict)
    assert not (tmp_path / "function.pickle").exists()


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(Harmful()), pickle.dumps(verdict)])
def test_a_record_that_is_damaged_or_of_another_kind_is_computed_anew(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "stage.pickle"
    file.write_bytes(content)
    assert recorded(file, lambda: 3) == 3
    assert "this stage is computed again" in capsys.readouterr().out
    assert recorded(file, lambda: 4) == 3
    assert not (tmp_path / "harmed").exists()
