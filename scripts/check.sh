#!/bin/sh
# Everything that CI checks, in order; stops at the first failure. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
began=$(date +%s)
step=set-up

finish() {
    status=$?
    [ "$status" = 0 ] || echo "check: failed at: $step"
    echo "check: wall time $(($(date +%s) - began)) s"
}
trap finish EXIT

run() { # NAME COMMAND...
    step=$1
    shift
    step_began=$(date +%s)
    echo "== $step"
    "$@"
    echo "   $(($(date +%s) - step_began)) s"
}

notebooks() {
    if git rev-parse --git-dir >/dev/null 2>&1; then
        # New files count too, ignored ones don't.
        git ls-files --cached --others --exclude-standard '*.ipynb'
    else
        find . \( -name .venv -o -name var -o -name .ipynb_checkpoints \) -prune -o -name '*.ipynb' -print
    fi
}

stripped() { notebooks | tr '\n' '\0' | xargs -0 -r nbstripout --verify; }

scripts/setup.sh --browser
PATH="$PWD/.venv/bin:$PATH"
run "ruff check" ruff check --quiet
run "ruff format" ruff format --check --quiet
run "mypy" mypy
run "import floors" lint-imports --no-logo
run "notebooks stripped" stripped
step=pytest
echo "== pytest"
# loadfile: fixtures of one file, such as a running dashboard, are made once.
# no-loadscope-reorder: browser tests stay last, for the reason in tests/conftest.py.
pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 5 "$@"
