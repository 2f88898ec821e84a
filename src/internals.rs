//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.
