"""Weights from PyTorch's files, read without PyTorch and without running anything that a file says.

A .pth is a pickle, which is a program: `pickle.load` would run it. Here the few instructions that PyTorch writes for a
dictionary of tensors are interpreted, and every other instruction, class or function is refused.
"""

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_LARGEST = 2**31  # bytes of a file, and of all its arrays
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_REMEDY = "give the file of a state_dict, as torch.save(model.state_dict(), path) writes it, or an .npz of its arrays"

_DTYPES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


class UnreadableWeightsError(ValueError):
    """A file of weights is broken, of another format, or not to be trusted; the message says what to do."""


def read_weights(path: Path | str) -> dict[str, np.ndarray]:
    """Read named arrays from a PyTorch state_dict (.pth, .pt, in both of its formats) or an .npz, by NumPy alone.

    Nothing in the file is executed: what is no plain dictionary of tensors is refused.

    Args:
        path: the file, of at most 2 GiB.

    Returns:
        The arrays by name.

    Raises:
        FileNotFoundError: if there is no such file.
        UnreadableWeightsError: if it is broken, holds anything else than a dictionary of tensors, or expands to more
            than 2 GiB.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file (looked in {Path.cwd()})")
    if path.stat().st_size > _LARGEST:
        raise UnreadableWeightsError(f"{path} has {path.stat().st_size:,} bytes, more than {_LARGEST:,}: {_REMEDY}")
    try:
        if not zipfile.is_zipfile(path):
            return _read_legacy(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > _LARGEST:
                raise UnreadableWeightsError(f"it expands to more than {_LARGEST:,} bytes")
            records = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
            return _read_zip(archive, records[0]) if records else _read_npz(path)
    except Exception as error:  # broken files raise IndexError, struct.error, UnicodeDecodeError, MemoryError …
        reason = str(error)[:200] or type(error).__name__
        raise UnreadableWeightsError(f"{path} holds no weights that can be read ({reason}): {_REMEDY}") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_zip(archive: zipfile.ZipFile, record: str) -> dict[str, np.ndarray]:
    """The format since PyTorch 1.6: a pickle, and a member for each storage."""
    root = record.removesuffix("data.pkl")
    order = archive.read(f"{root}byteorder").decode() if f"{root}byteorder" in archive.namelist() else "little"

    def storage(key: str, dtype: np.dtype, length: int) -> np.ndarray:
        found = np.frombuffer(archive.read(f"{root}data/{key}"), dtype.newbyteorder("<" if order == "little" else ">"))
        if len(found) != length:
            raise UnreadableWeightsError(f"storage {key!r} has {len(found)} numbers, {length} are announced")
        return found

    return _tensors(_interpret(io.BytesIO(archive.read(record))), storage)


def _read_legacy(contents: bytes) -> dict[str, np.ndarray]:
    """The older format: five pickles, and then for each storage its length and its numbers."""
    file = io.BytesIO(contents)
    if _interpret(file) != _MAGIC or _interpret(file) != _VERSION:
        raise UnreadableWeightsError("it is no file of PyTorch")
    system = _interpret(file)
    order = "<" if not isinstance(system, dict) or system.get("little_endian", True) else ">"
    tree, keys = _interpret(file), _interpret(file)
    dtypes = {str(found.key): found.dtype for found in _storages(tree)}
    storages = {}
    for key in keys:
        (length,) = np.frombuffer(file.read(8), f"{order}i8")
        dtype = dtypes[str(key)].newbyteorder(order)
        data = file.read(int(length) * dtype.itemsize)
        storages[str(key)] = np.frombuffer(data, dtype, int(length))
    return _tensors(tree, lambda key, dtype, length: storages[key])


class _Name(NamedTuple):
    """A class or function that a pickle names; it is never looked up."""

    module: str
    name: str


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _storages(tree: Any) -> Iterator[_Storage]:
    yield from (value.storage for value in _checked(tree).values())


def _checked(tree: Any) -> dict[str, _Tensor]:
    """The tensors of a state_dict, which may lie under the key "state_dict" of a checkpoint."""
    if isinstance(tree, dict) and isinstance(tree.get("state_dict"), dict):
        tree = tree["state_dict"]
    if not isinstance(tree, dict) or not all(isinstance(value, _Tensor) for value in tree.values()):
        raise UnreadableWeightsError("it holds something else than a dictionary of tensors")
    return tree


def _tensors(tree: Any, storage: Callable[[str, np.dtype, int], np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of the tensors, as copies in the machine's byte order."""
    found, total = {}, 0
    for name, tensor in _checked(tree).items():
        size = math.prod(tensor.shape)
        last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
        numbers = storage(tensor.storage.key, tensor.storage.dtype, tensor.storage.length)
        low = min((tensor.offset, *tensor.shape, *tensor.strides))
        total += size * tensor.storage.dtype.itemsize
        if low < 0 or (size and last >= len(numbers)) or size > max(1, len(numbers)) or total > _LARGEST:
            raise UnreadableWeightsError(f"tensor {name!r} of shape {tensor.shape} lies outside of its storage")
        if size == 0:
            found[str(name)] = np.zeros(tensor.shape, tensor.storage.dtype)
            continue
        strides = [step * numbers.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
        found[str(name)] = view.astype(tensor.storage.dtype)
    return found


def _rebuilt(function: _Name, arguments: Any) -> Any:
    """What the few functions that PyTorch writes would return."""
    match function, arguments:
        case _Name("collections", "OrderedDict"), ():
            return {}
        case _Name("torch._utils", "_rebuild_tensor_v2"), (_Storage() as storage, int(offset), shape, strides, *_):
            if all(isinstance(n, int) for n in (*shape, *strides)) and len(shape) == len(strides) <= 32:
                return _Tensor(storage, offset, tuple(shape), tuple(strides))
        case _Name("torch._utils", "_rebuild_parameter"), (_Tensor() as tensor, *_):
            return tensor
        case _Name("torch", "Size"), (tuple() as shape,):
            return shape
    raise UnreadableWeightsError(f"it calls {function}, which no file of weights needs: do not trust it")


def _storage_of(description: Any) -> _Storage:
    match description:
        case ("storage", _Name("torch", kind), str(key), _, int(length), *_) if kind in _DTYPES:
            return _Storage(key, np.dtype(_DTYPES[kind]), length)
    raise UnreadableWeightsError(f"it refers to {str(description)[:80]}, which is no storage of numbers")


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
}  # fmt: skip
_MAKERS: Mapping[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}


def _interpret(file: io.BytesIO) -> Any:
    """The value of one pickle of plain containers, numbers, texts and tensors."""
    stack, memo = [], {}

    def popped_to_mark() -> list[Any]:
        position = len(stack) - 1 - next(i for i, value in enumerate(reversed(stack)) if value is _MARK)
        values = stack[position + 1 :]
        del stack[position:]
        return values

    def update(pairs: list[Any]) -> None:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int) or not isinstance(stack[-1], dict):
                raise UnreadableWeightsError("a dictionary has a key that is no text or number")
            stack[-1][key] = value

    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _MAKERS:
            stack.append(_MAKERS[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_Name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_Name(module, attribute))
        elif name == "TUPLE":
            stack.append(tuple(popped_to_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "SETITEM":
            update([stack.pop(-2), stack.pop()])
        elif name == "SETITEMS":
            update(popped_to_mark())
        elif name == "APPEND":
            _list(stack[-2]).append(stack.pop())
        elif name == "APPENDS":
            values = popped_to_mark()
            _list(stack[-1]).extend(values)
        elif name == "BINPERSID":
            stack.append(_storage_of(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_rebuilt(stack.pop(), arguments))
        elif name == "BUILD":
            stack.pop()  # attributes of a dictionary, such as _metadata
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise UnreadableWeightsError(f"it has the instruction {name}, which no file of weights needs")
    raise UnreadableWeightsError("it ends too early")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableWeightsError("it appends to something else than a list")
    return value
