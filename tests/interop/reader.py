"""An independent reader of `.cae` files, written from the specification alone.

file = reader.File("field.cae")
values = file.array("temperature").read()
corner = file.array("temperature").read((slice(0, 2), slice(10, 20)))
"""

import hashlib
import itertools
import math
import os
import struct

import numpy as np

import frames
from primitives import CaeError, Cursor, Unsupported, crc32

SIGNATURE = b"\x89CAE\r\n\x1a\n"
VERSION = (0, 1)
TYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8")}
BOUNDS = ["lossless", "abs", "rel", "pw", "rmse", "psnr", "ratio", "by_point"]


class Bound:
    """SPEC 4.3."""

    def __init__(self, cursor):
        kind = cursor.u8()
        if kind >= len(BOUNDS):
            raise Unsupported(f"bound of kind {kind}")
        self.kind = BOUNDS[kind]
        count = {0: 0, 1: 1, 3: 1, 7: 1}.get(kind, 2)
        self.fields = [cursor.number("d") for _ in range(count)]
        for index, field in enumerate(self.fields):
            zero = field == 0 and math.copysign(1, field) > 0
            may_be_zero = kind in (2, 4, 5, 6, 7) and index == count - 1
            if not (0 < field < math.inf or (zero and may_be_zero)):
                raise CaeError(f"bound of {field}")


class Array:
    """SPEC 4.2."""

    def __init__(self, cursor, file):
        self.file = file
        self.name = cursor.text()
        code = cursor.u8()
        if code not in TYPES:
            raise Unsupported(f"data type {code}")
        self.dtype = TYPES[code]
        flags = cursor.u8()
        if flags >> 4:
            raise Unsupported(f"array flags {flags}")
        ndim = cursor.varint()
        if ndim > 8:
            raise CaeError(f"{ndim} dimensions")
        self.shape = tuple(cursor.varint() for _ in range(ndim))
        if math.prod(n for n in self.shape if n) >> 64:
            raise CaeError("shape over 64 bits")
        self.bound = Bound(cursor)
        self.dims = [cursor.text() for _ in self.shape] if flags & 1 else None
        self.attributes = cursor.text() if flags & 2 else None
        self.model = cursor.varint() if flags & 4 else None
        if self.model is not None and self.model >= len(file.models):
            raise CaeError(f"model {self.model} of {len(file.models)}")
        self.frame_shape = self.shape
        if flags & 8:
            self.frame_shape = tuple(cursor.varint() for _ in self.shape)
            for n, piece in zip(self.shape, self.frame_shape):
                if not (1 <= piece <= n or piece == n == 0):
                    raise CaeError(f"frame extent {piece} of {n}")
        self.counts = [-(-n // piece) if n else 0 for n, piece in zip(self.shape, self.frame_shape)]
        count = math.prod(self.counts)
        if count > cursor.left():
            raise CaeError(f"{count} frames")
        self.frame_lens = [cursor.varint() for _ in range(count)]
        self.offsets = []

    def frame_box(self, place):
        """Begin and end of a frame on every axis (SPEC 4.4)."""
        begin = [c * piece for c, piece in zip(place, self.frame_shape)]
        end = [min(b + piece, n) for b, piece, n in zip(begin, self.frame_shape, self.shape)]
        return begin, end

    def frame(self, index):
        data = self.file.data
        return data[self.offsets[index] : self.offsets[index] + self.frame_lens[index]]

    def methods(self):
        return {frames.method(self.frame(f)) for f in range(len(self.frame_lens))}

    def needs_network(self):
        return self.model is not None

    def digests_informative(self):
        """Whether engines may differ in the last bits of a frame (SPEC 6.1)."""
        return any(self.frame(f)[9] & 16 for f in range(len(self.frame_lens)))

    def read(self, region=None):
        """The values of the array or of a region; only frames that it touches are decoded."""
        if region is None:
            region = tuple(slice(0, n) for n in self.shape)
        low = [s.indices(n)[0] for s, n in zip(region, self.shape)]
        high = [max(a, s.indices(n)[1]) for a, s, n in zip(low, region, self.shape)]
        out = np.zeros([b - a for a, b in zip(low, high)], self.dtype)
        model = None
        for index, place in enumerate(itertools.product(*map(range, self.counts))):
            begin, end = self.frame_box(place)
            first = [max(a, b) for a, b in zip(low, begin)]
            last = [min(a, b) for a, b in zip(high, end)]
            if any(a >= b for a, b in zip(first, last)):
                continue
            if model is None and self.model is not None:
                model = self.file.network(self.model)
            dims = [b - a for a, b in zip(begin, end)]
            values = frames.decode(self.frame(index), dims or [1], self.dtype, model).reshape(dims)
            source = tuple(slice(a - o, b - o) for a, b, o in zip(first, last, begin))
            target = tuple(slice(a - o, b - o) for a, b, o in zip(first, last, low))
            # Views of integers keep the bits of every NaN.
            bits = f"<u{self.dtype.itemsize}"
            out.view(bits)[target] = values.view(bits)[source]
        return out


class File:
    """SPEC 3 and 4; `model_folder` is where models that are not embedded lie."""

    def __init__(self, path, model_folder=None):
        with open(path, "rb") as file:
            self.data = file.read()
        self.model_folder = model_folder
        self.models = []
        self.arrays = []
        self._header()
        cursor, offset = self._directory()
        self._parts(cursor)
        self._place(offset)

    def array(self, name):
        return next(a for a in self.arrays if a.name == name)

    def _header(self):
        head = self.data[:16]
        if head[:8] != SIGNATURE:
            if head[1:4] == SIGNATURE[1:4]:
                raise CaeError("changed by a transfer in text mode")
            raise CaeError("not a .cae file")
        if len(head) < 10:
            raise CaeError("truncated header")
        if tuple(head[8:10]) != VERSION:
            raise Unsupported(f"version {head[8]}.{head[9]}")
        if len(head) < 16:
            raise CaeError("truncated header")
        flags, crc = struct.unpack("<HI", head[10:])
        if crc != crc32(head[:12]):
            raise CaeError("header checksum")
        if flags:
            raise Unsupported(f"file flags {flags}")

    def _directory(self):
        if len(self.data) < 24:
            raise CaeError("truncated")
        length, crc = struct.unpack("<II", self.data[-8:])
        offset = len(self.data) - 8 - length
        if offset < 16 or crc != crc32(self.data[offset:-4]):
            raise CaeError("directory truncated or damaged")
        return Cursor(self.data[offset:-8]), offset

    def _parts(self, cursor):
        count = cursor.varint()
        if count > cursor.left():
            raise CaeError(f"{count} parts")
        for _ in range(count):
            kind = cursor.u8()
            if kind == 1 and not self.arrays:
                self.models.append({"digest": cursor.take(32), "len": cursor.varint()})
            elif kind == 1:
                raise CaeError("model after an array")
            elif kind == 2:
                self.arrays.append(Array(cursor, self))
            else:
                raise Unsupported(f"part of kind {kind}")
        cursor.end()
        names = [a.name for a in self.arrays]
        if len(set(names)) < len(names):
            raise CaeError("two arrays of one name")

    def _place(self, directory):
        offset = 16
        for model in self.models:
            model["offset"] = offset
            offset += model["len"]
        for array in self.arrays:
            for length in array.frame_lens:
                array.offsets.append(offset)
                offset += length
        if offset != directory:
            raise CaeError("lengths do not add up to the offset of the directory")

    def model(self, index):
        """The bytes of a model, embedded or by its digest, which is checked."""
        entry = self.models[index]
        if entry["len"]:
            data = self.data[entry["offset"] : entry["offset"] + entry["len"]]
        else:
            path = os.path.join(self.model_folder or "", entry["digest"].hex() + ".onnx")
            if self.model_folder is None or not os.path.exists(path):
                raise Unsupported("model is kept elsewhere")
            with open(path, "rb") as file:
                data = file.read()
        if hashlib.sha256(data).digest() != entry["digest"]:
            raise CaeError("model has another digest")
        return data

    def network(self, index):
        """The engine of a model; needs onnxruntime."""
        data = self.model(index)
        import network

        return network.Network(data)
