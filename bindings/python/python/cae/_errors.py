"""What can go wrong, by who must act."""

from __future__ import annotations


class CaeError(Exception):
    """Base of every exception of this package but those of the operating system, which are `OSError`."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class PlacedError(CaeError):
    """An exception that says where in a file."""

    def __init__(self, message: str, place: str | None = None, offset: int | None = None) -> None:
        super().__init__(message, place, offset)
        self.place = place
        """The part of the file, such as `frame 3 of array 0`; None where no file is to blame."""
        self.offset = offset
        """Where that part starts in the file, in bytes."""


class FormatError(PlacedError):
    """The bytes break the specification; no reader will do better."""


class LimitError(CaeError):
    """Valid, but over the limits that the file was opened with."""

    def __init__(
        self, message: str, resource: str | None = None, wanted: int | None = None, allowed: int | None = None
    ) -> None:
        super().__init__(message, resource, wanted, allowed)
        self.resource = resource
        """What there would be too much of."""
        self.wanted = wanted
        """How much the file asks for."""
        self.allowed = allowed
        """How much the limits allow."""


class ModelError(CaeError):
    """An ONNX model was refused or failed to run."""


class ArgumentError(CaeError, ValueError):
    """An argument is wrong; the file is not to blame."""


class Unsupported(PlacedError):
    """Valid, but needs a newer version, a model that is not there, or something that the format has no room for."""
