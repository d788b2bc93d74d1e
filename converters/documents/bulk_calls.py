"""One function of PDFium called for thousands of characters or objects.

ctypes converts what has declared types at every call. A function without them takes prepared
pointers as they are, which costs a third: 90 instead of 300 ns for the box of a character.
"""

import ctypes
from collections.abc import Callable, Iterable
from ctypes import c_float, c_void_p
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as raw

_ROWS = 4096
_shared = (c_float * (4 * _ROWS))()  # PDFium writes here: one document at a time in a process
_values = np.frombuffer(_shared, np.uint8).reshape(_ROWS, 16)
_columns = [[ctypes.byref(_shared, 16 * row + 4 * at) for row in range(_ROWS)] for at in range(4)]

Pointer = Any
"""A prepared pointer, of a type that ctypes does not name."""


def bulk_function(name: str, result: Any) -> Callable[..., Any]:
    """PDFium's function `name`; it may only be called with pointers and ints of 32 bits."""
    address = ctypes.cast(getattr(raw, name), c_void_p).value
    assert address is not None
    return ctypes.PYFUNCTYPE(result)(address)


pointer: Callable[[int], Pointer] = c_void_p.from_param
"""An address as an argument of bulk functions."""


def filled_rows(
    function: Callable[..., Any], count: int, arguments: tuple[Iterable[Any], ...], pointers: int,
    kind: type[np.generic],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """What `count` calls say, and the four values of 4 bytes (count, 4) that each fills in.

    A call gets one of each of `arguments`, then one pointer to all its values, or one to each.
    """
    said = bytearray()  # filled at a quarter of the price of an array
    rows = np.empty((count, 4), kind)
    iterators = tuple(map(iter, arguments))
    for start in range(0, count, _ROWS):
        some = min(_ROWS, count - start)
        _values[:some] = 0
        given = (islice(iterator, some) for iterator in iterators)
        said += bytes(map(function, *given, *_columns[:pointers]))
        rows[start : start + some] = _values[:some].view(kind)
    return np.frombuffer(said, np.uint8) > 0, rows
