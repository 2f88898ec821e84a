"""Programs run one at a time, and what they took."""

import os
import subprocess
import tempfile


class Failed(Exception):
    """A program ended with an error, or broke a promise."""


def call(command):
    """What a program prints, and its processor seconds: on a machine that others use too, the clock says little."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if child.returncode:
            raise Failed(f"{' '.join(map(str, command))}: {err.read().decode().strip()[-300:]}")
        return out.read().decode(), used.ru_utime + used.ru_stime
