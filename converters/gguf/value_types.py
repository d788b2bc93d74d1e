"""The types of GGUF metadata values and their encodings. Standard library only."""

import struct
from dataclasses import dataclass
from enum import IntEnum

LENGTH = struct.Struct("<Q")
"""The encoding of the length of a text or an array."""


class ValueType(IntEnum):
    """The type of a metadata value, by its id in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS: dict[ValueType, struct.Struct] = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: struct.Struct("<I"),
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<?"),
    ValueType.UINT64: struct.Struct("<Q"),
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}
"""The encoding of every value type but STRING and ARRAY."""


@dataclass(frozen=True)
class ArrayField:
    """Stands in the metadata for an array, which `read_array` decodes when somebody needs it."""

    element_type: ValueType
    length: int
