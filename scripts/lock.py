"""Make requirements.lock and environment.yml from pyproject.toml.

Usage: python scripts/lock.py [--upgrade]

Without --upgrade the versions in the present lock stay where pyproject.toml still allows them.
Needs `uv` on PATH for the lock; the rest is standard library.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# made by `make lock` from pyproject.toml: run-time, test and build packages; do not edit\n"


def project() -> dict:
    """Return pyproject.toml as a dict."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def environment(config: dict) -> str:
    """Return the text of environment.yml.

    conda brings Python and pip, pip the rest: several packages are too new for conda's channels.
    The lock can't be used here, because pip takes no editable package beside hashes.
    """
    meta = config["project"]
    lines = [
        "# made by `make lock` from pyproject.toml; do not edit",
        f"name: {meta['name']}",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python{meta['requires-python']}",
        "  - pip",
        "  - pip:",
        *(f'      - "{requirement}"' for requirement in meta["dependencies"]),
        "      - -e .",
    ]
    return "\n".join(lines) + "\n"


def lock(config: dict, upgrade: bool) -> str:
    """Return the text of requirements.lock: every version and hash, for all platforms at once."""
    # The build backend is locked too, so that set-up installs nothing whose hash is unknown.
    command = [
        "uv", "pip", "compile", "pyproject.toml", "-",
        "--extra", "test",
        "--universal", "--generate-hashes",
        "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate",
        "--quiet", "--output-file", "requirements.lock",
        *(["--upgrade"] if upgrade else []),
    ]  # fmt: skip
    build = "\n".join(config["build-system"]["requires"])
    result = subprocess.run(command, cwd=ROOT, input=build, text=True, check=False)
    if result.returncode != 0:
        sys.exit("lock: uv could not resolve pyproject.toml; its reason stands above")
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Write both files."""
    if unknown := set(arguments) - {"--upgrade"}:
        sys.exit(f"lock: unknown option {min(unknown)!r}; the only one is --upgrade")
    config = project()
    (ROOT / "environment.yml").write_text(environment(config), encoding="utf-8")
    if shutil.which("uv") is None:
        sys.exit("lock: uv is not on PATH; get it with `pip install uv`")
    text = lock(config, upgrade="--upgrade" in arguments)
    (ROOT / "requirements.lock").write_text(HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
