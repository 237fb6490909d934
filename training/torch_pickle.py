"""Reads the tensors of a torch checkpoint (format before 1.6) without torch.

Such a file is four pickles (magic number, protocol, machine, objects), a fifth that lists the
storages, and then each storage's raw bytes. The unpickler below knows the four names a state dict
needs and refuses every other, so that a checkpoint cannot run code.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True, slots=True)
class _Placement:
    """Where a tensor lies in its storage; counts are elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StateDictUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _place,
        }
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")
        return known[module, name]

    def persistent_load(self, pid: Any) -> str:
        _, dtype, key, *_ = pid
        self.dtypes[key] = dtype
        return str(key)


def _place(storage: str, offset: int, shape: Any, strides: Any, *_: Any) -> _Placement:
    return _Placement(storage, offset, tuple(shape), tuple(strides))


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of the checkpoint by name, each contiguous in its own memory."""
    with path.open("rb") as file:
        if _StateDictUnpickler(file).load() != _MAGIC:
            raise ValueError(f"{path} is not a torch checkpoint of the format before 1.6")
        for _ in ("protocol", "machine"):
            _StateDictUnpickler(file).load()
        unpickler = _StateDictUnpickler(file)
        placements: dict[str, _Placement] = unpickler.load()
        storages: dict[str, NDArray[Any]] = {}
        for key in _StateDictUnpickler(file).load():
            dtype = unpickler.dtypes[key]
            count = int.from_bytes(file.read(8), "little")
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _tensor(storages[place.storage], place) for name, place in placements.items()}


def _tensor(storage: NDArray[Any], place: _Placement) -> NDArray[Any]:
    # Convolutions came from TensorFlow by a transposed view: their strides are not the usual ones.
    last = place.offset + sum((n - 1) * s for n, s in zip(place.shape, place.strides, strict=True))
    if not 0 <= last < storage.size:
        raise ValueError(f"{place} reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(
        storage[place.offset :],
        place.shape,
        [stride * storage.itemsize for stride in place.strides],
        writeable=False,
    )
    return np.ascontiguousarray(view)
