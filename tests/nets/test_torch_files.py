"""PyTorch's files: both formats are read, and nothing in them is executed."""

import collections
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
from hostile import Marker, no_hang
from torch_pickles import Tensor, dumped, legacy_file, tensors, zip_file

from jaxgen.nets import UnreadableWeightsError, read_weights

RNG = np.random.default_rng(0)
BASE = RNG.standard_normal((3, 4)).astype(np.float32)
ARRAYS = {
    "conv.weight": RNG.standard_normal((2, 3, 1, 1)).astype(np.float32),
    "transposed": BASE.T,
    "part": BASE[1:, ::2],
    "bn.num_batches_tracked": np.array(7, np.int64),
    "double": RNG.standard_normal(5),
}
FORMATS = {"legacy": legacy_file, "zip": zip_file}


def written(path, contents):
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_both_formats_are_read_with_their_strides(kind, tmp_path):
    state = collections.OrderedDict(tensors(ARRAYS))
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    assert "torch" not in sys.modules or hasattr(sys.modules["torch"], "__version__")
    for value in (state, {"epoch": 3, "state_dict": state}):
        found = read_weights(written(tmp_path / "weights.pth", FORMATS[kind](value)))
        assert list(found) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_npz_is_read_and_its_objects_are_not(tmp_path):
    np.savez(tmp_path / "weights.npz", **ARRAYS)
    found = read_weights(tmp_path / "weights.npz")
    np.testing.assert_array_equal(found["part"], ARRAYS["part"])
    np.savez(tmp_path / "hostile.npz", a=np.array([Marker(tmp_path / "made")], dtype=object))
    with pytest.raises(UnreadableWeightsError, match="allow_pickle"):
        read_weights(tmp_path / "hostile.npz")
    assert not (tmp_path / "made").exists()


class Call:
    """What calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_values(marker):
    """Values whose unpickling makes the folder `marker`, or would do worse."""
    make = str(marker)
    return {
        "mkdir": Marker(make),
        "in a dictionary": {"a": Marker(make)},
        "eval": Call(eval, f"__import__('os').mkdir({make!r})"),
        "system": Call(os.system, f"mkdir {make}"),
        "getattr": Call(getattr, "", "join"),
        "as a key": {("tuple",): 1},
        "not a tensor": {"a": 1.5},
        "set": {"a": {1, 2}},
    }


HOSTILE = list(hostile_values("x"))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_dictionary_of_tensors_is_refused_and_not_executed(name, kind, tmp_path):
    marker = tmp_path / "made"
    value = hostile_values(marker)[name]
    with no_hang():
        assert_executes = name in ("mkdir", "in a dictionary", "eval", "system")
        path = written(tmp_path / "hostile.pth", FORMATS[kind](value))
        with pytest.raises(UnreadableWeightsError, match=r"hostile\.pth holds no weights"):
            read_weights(path)
        assert not marker.exists()
        if assert_executes:  # an ordinary unpickling does what the file says
            pickle.loads(pickle.dumps(value, 2))
            assert marker.exists()


OBJECTS = {
    "protocol 0": b"cos\nmkdir\n(S'made'\ntR.",
    "INST": b"(S'made'\nios\nmkdir\n.",
    "OBJ": b"(cos\nmkdir\nS'made'\no.",
    "NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x04made\x85R.",
    "EXT1": b"\x80\x02\x82\x01.",
    "empty stack": b"\x80\x020.",
    "no mark": b"\x80\x02t.",
    "huge text": b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"a.",
    "huge number": b"\x80\x02\x8b" + (2**31 - 1).to_bytes(4, "little") + b"a.",
    "cut": b"\x80\x02}q\x00(X\x05\x00",
    "memo": b"\x80\x02h\x05.",
}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_other_instruction_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for contents in (zip_file({}, OBJECTS[name]), OBJECTS[name]):
        with no_hang(), pytest.raises(UnreadableWeightsError):
            read_weights(written(tmp_path / "hostile.pth", contents))
        assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("0", np.zeros(4, np.float32), 0, (5,), (1,)),
        Tensor("0", np.zeros(4, np.float32), 2, (3,), (1,)),
        Tensor("0", np.zeros(4, np.float32), -1, (2,), (1,)),
        Tensor("0", np.zeros(4, np.float32), 3, (2,), (-1,)),
        Tensor("0", np.zeros(4, np.float32), 0, (10**9, 10**9), (0, 0)),  # expands
        Tensor("0", np.zeros(4, np.float32), 0, (2, 2), (1,)),
        Tensor("0", np.zeros(4, np.float32), 0, (2.0,), (1,)),
    ],
)
def test_tensors_stay_within_their_storage(tensor, tmp_path):
    for kind in FORMATS.values():
        with pytest.raises(UnreadableWeightsError):
            read_weights(written(tmp_path / "hostile.pth", kind({"a": tensor})))


def test_broken_and_large_files(tmp_path):
    whole = legacy_file(tensors(ARRAYS))
    for cut in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UnreadableWeightsError, match="holds no weights"):
            read_weights(written(tmp_path / "cut.pth", whole[:cut]))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", dumped({}, False)[0])
        info = zipfile.ZipInfo("archive/data/0")
        archive.writestr(info, b"0")
        archive.filelist[-1].file_size = 2**32 - 2  # what the directory announces
    with pytest.raises(UnreadableWeightsError):
        read_weights(written(tmp_path / "bomb.pth", bomb.getvalue()))
    with pytest.raises(FileNotFoundError, match="is no file"):
        read_weights(tmp_path / "missing.pth")
    with (tmp_path / "sparse.pth").open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(UnreadableWeightsError, match="more than"):
        read_weights(tmp_path / "sparse.pth")
