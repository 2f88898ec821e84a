"""Cuts the arrays of this folder from Debian's ferret-datasets. Usage: python make.py DATA_FOLDER [OUT_FOLDER]

DATA_FOLDER holds the .cdf files of the package (/usr/share/ferret-vis/data where it is installed); see ../README.md.
"""

import pathlib
import sys

import netCDF4
import numpy as np


def save(out, name, values):
    kind = {4: "f32", 8: "f64"}[values.dtype.itemsize]
    path = out / f"{name}_{'x'.join(map(str, values.shape))}.{kind}"
    path.write_bytes(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
    print(path.name, path.stat().st_size)


def main(data, out):
    def variable(file, name):
        v = netCDF4.Dataset(data / file).variables[name]
        v.set_auto_mask(False)
        return v

    # Twenty months of wind, every second point of the globe.
    save(out, "navy_uwnd", variable("monthly_navy_winds.cdf", "UWND")[:20, ::2, ::2])

    # Three months; land is NaN.
    sst = variable("coads_climatology.cdf", "SST")[::4, ::2, ::3]
    save(out, "coads_sst", np.where(sst < -1e30, np.float32(np.nan), sst))

    # Eight depths of the North Atlantic; land keeps the file's fill value, -1e10.
    save(out, "levitus_temp", variable("levitus_climatology.cdf", "TEMP")[:16:2, 90:130:2, 280:340:2])

    # Heights of land and sea floor, as f64.
    save(out, "etopo_rose", variable("etopo120.cdf", "ROSE")[::2, ::2].astype(np.float64))


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here)
