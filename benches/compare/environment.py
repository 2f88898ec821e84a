"""The virtual environment that has the peers."""

import hashlib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def enter(script, plotting):
    """Continues `script` in a virtual environment that has the peers, made if need be."""
    files = [os.path.join(HERE, f) for f in ["requirements.txt"] + ["requirements-plot.txt"] * plotting]
    folder = os.environ.get("CAE_COMPARE_VENV", os.path.join(ROOT, "target", "compare-venv"))
    python = os.path.join(folder, "bin", "python")
    wanted = hashlib.sha256(b"".join(open(f, "rb").read() for f in files)).hexdigest()
    stamp = os.path.join(folder, f"installed-{wanted[:16]}")
    if not os.path.exists(stamp):
        print(f"installing the peers into {folder}", file=sys.stderr)
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(pip + [a for f in files for a in ("-r", f)], check=True, stdout=sys.stderr)
        open(stamp, "w").close()
    if os.path.realpath(sys.prefix) != os.path.realpath(folder):
        os.execv(python, [python, os.path.abspath(script), *sys.argv[1:]])
