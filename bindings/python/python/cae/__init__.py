"""Archives scientific floating-point arrays in few bytes at a proved error bound.

- `save` and `Writer` write a file, `open` reads one; `compress` and `decompress` do so in memory.
- `compress_frame` and `decompress_frame` code one block of values for formats that have a container of their own.
- `cae.zarr`, `cae.numcodecs` and `cae.xarray` are doors to those packages; `cae.models` finds models kept outside of files.
"""

from __future__ import annotations

from . import models
from ._bounds import Bound, BoundArguments, BoundKind, Preset
from ._errors import ArgumentError, CaeError, FormatError, LimitError, ModelError, Unsupported
from ._file import Array, Damage, File, decompress, open
from ._frames import Frame, code_frame, compress_frame, decompress_frame
from ._native import Model, format_version, has_tract
from ._write import ArrayReport, Writer, compress, save

__all__ = [
    "ArgumentError",
    "Array",
    "ArrayReport",
    "Bound",
    "BoundArguments",
    "BoundKind",
    "CaeError",
    "Damage",
    "File",
    "FormatError",
    "Frame",
    "LimitError",
    "Model",
    "ModelError",
    "Preset",
    "Unsupported",
    "Writer",
    "code_frame",
    "compress",
    "compress_frame",
    "decompress",
    "decompress_frame",
    "format_version",
    "has_tract",
    "models",
    "open",
    "save",
]

__version__ = "0.1.0"
