"""Fields that the tests share; small, because the point is the door and not the coder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "testdata" / "models"


@pytest.fixture(scope="session")
def field() -> np.ndarray:
    """Surface winds: 20 months of 37 x 72 points."""
    return np.fromfile(ROOT / "testdata" / "raw" / "navy_uwnd_20x37x72.f32", "<f4").reshape(20, 37, 72)


@pytest.fixture(scope="session")
def relief() -> np.ndarray:
    """Heights of land and sea floor, 45 x 90 points of f64."""
    return np.fromfile(ROOT / "testdata" / "raw" / "etopo_rose_45x90.f64", "<f8").reshape(45, 90)


@pytest.fixture(scope="session")
def exact_model() -> tuple[bytes, bytes]:
    """Encoder and decoder of an autoencoder that every engine computes alike, for blocks of 512 values."""
    return (MODELS / "exact512-encoder.onnx").read_bytes(), (MODELS / "exact512-decoder.onnx").read_bytes()
