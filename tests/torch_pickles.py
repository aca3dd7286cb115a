"""Files as `torch.save` writes them, in both formats, made without PyTorch; and hostile ones."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from contextlib import contextmanager

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<i8": "LongStorage", "|u1": "ByteStorage"}


def _rebuild_tensor_v2(*arguments):
    """Stands in for PyTorch's function, which only its name matters of."""


_rebuild_tensor_v2.__module__ = "torch._utils"


class Tensor:
    """What pickles as a tensor that looks at a storage."""

    def __init__(self, key, numbers, offset, shape, strides):
        self.key, self.numbers = key, numbers
        self.place = offset, shape, strides

    def __reduce__(self):
        return _rebuild_tensor_v2, (self._storage(), *self.place, False, collections.OrderedDict())

    def _storage(self):
        return Storage(self.key, self.numbers)


class Storage:
    """Stands in for a storage, which pickles by a persistent id."""

    def __init__(self, key, numbers):
        self.key, self.numbers = key, numbers


@contextmanager
def torch_names():
    """Modules by which the stand-ins are pickled by reference."""
    names = {"torch": types.ModuleType("torch"), "torch._utils": types.ModuleType("torch._utils")}
    names["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    for kind in KINDS.values():
        stand_in = type(kind, (), {"__module__": "torch"})
        setattr(names["torch"], kind, stand_in)
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        yield names["torch"]
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


def tensors(arrays):
    """Each array in a storage of its own; those that are not contiguous with their strides."""
    found = {}
    for i, (name, array) in enumerate(arrays.items()):
        base = array if array.base is None else array.base
        strides = tuple(step // array.itemsize for step in array.strides)
        offset = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // array.itemsize
        found[name] = Tensor(str(i), base.ravel(), offset, array.shape, strides)
    return found


def dumped(value, legacy):
    """The pickle of a state_dict, and its storages."""
    file, storages = io.BytesIO(), {}
    with torch_names() as torch:

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj):
                if not isinstance(obj, Storage):
                    return None
                storages[obj.key] = obj.numbers
                kind = getattr(torch, KINDS[obj.numbers.dtype.str])
                rest = (None,) if legacy else ()
                return ("storage", kind, obj.key, "cpu", len(obj.numbers), *rest)

        Pickler(file, protocol=2).dump(value)
    return file.getvalue(), storages


def legacy_file(value):
    """The bytes of a file in the format before PyTorch 1.6."""
    tree, storages = dumped(value, True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(part, 2) for part in (MAGIC, 1001, system)]
    parts += [tree, pickle.dumps(sorted(storages), 2)]
    for key in sorted(storages):
        parts += [struct.pack("<q", len(storages[key])), storages[key].tobytes()]
    return b"".join(parts)


def zip_file(value, tree=None):
    """The bytes of a file in the format since PyTorch 1.6; `tree` replaces its pickle."""
    written, storages = dumped(value, False)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", written if tree is None else tree)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
        for key, numbers in storages.items():
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(numbers).tobytes())
    return file.getvalue()
