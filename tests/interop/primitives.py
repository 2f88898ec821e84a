"""SPEC 2: numbers, varints, blocks, checksums; the errors of a reader."""

import bz2
import struct
import zlib

import numpy as np

MASK64 = (1 << 64) - 1


class CaeError(Exception):
    """The bytes break the specification."""


class Unsupported(CaeError):
    """Valid as far as seen, but of a version or with a feature that this reader lacks."""


def crc32(data):
    return zlib.crc32(data) & 0xFFFFFFFF


def unzigzag(z):
    return (z >> 1) ^ -(z & 1)


def bits(v):
    """Number of binary digits of a magnitude."""
    return v.bit_length()


class Cursor:
    """Reads the fields of one part, which must be consumed exactly (SPEC 2.4)."""

    def __init__(self, data):
        self.data = bytes(data)
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        if n > self.left():
            raise CaeError(f"{n} bytes wanted, {self.left()} left")
        out = self.data[self.at : self.at + n]
        self.at += n
        return out

    def rest(self):
        return self.take(self.left())

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def u8(self):
        return self.number("B")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if byte == 0 and shift:
                    raise CaeError("varint not in its shortest form")
                if value > MASK64:
                    raise CaeError("varint over 64 bits")
                return value
            shift += 7
            if shift > 63:
                raise CaeError("varint over 64 bits")

    def signed(self):
        return unzigzag(self.varint())

    def block(self):
        return self.take(self.varint())

    def text(self):
        try:
            text = self.block().decode("utf-8")
        except UnicodeDecodeError as error:
            raise CaeError("text is not UTF-8") from error
        if "\0" in text:
            raise CaeError("text holds U+0000")
        return text

    def end(self):
        if self.left():
            raise CaeError(f"{self.left()} bytes left over")


def bunzip(data, length):
    """One bzip2 stream of exactly `length` bytes (SPEC 7)."""
    stream = bz2.BZ2Decompressor()
    try:
        out = stream.decompress(data, length + 1)
    except (OSError, ValueError) as error:
        raise CaeError("damaged bzip2 stream") from error
    if not stream.eof and len(out) == length:
        out += stream.decompress(b"", 1)
    if len(out) != length or not stream.eof or stream.unused_data:
        raise CaeError(f"bzip2 stream is not one of {length} bytes")
    return out


def planes(data, width):
    """Items of `width` bytes whose first bytes come first, then their second bytes, and so on."""
    return np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes()
