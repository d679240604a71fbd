#!/bin/sh
# Make .venv with everything the project needs. A second run only compares a stamp.
#
#   scripts/setup.sh                 Python packages only
#   scripts/setup.sh --browser       and see that a Chromium exists for the browser tests
#   scripts/setup.sh --find-browser  print the Chromium that the tests would use, or fail
#
# Environment: PYTHON, the interpreter to build on; MAXTRADER_CHROMIUM, the browser to use.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

runs() { # is $1 a working Python of 3.11 or newer?
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        runs "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.11 or newer"
        command -v "$PYTHON"
        return
    fi
    # Each is run, not only looked up: version managers put stubs on PATH that can't run.
    for name in python3.13 python3.12 python3.11 python3; do
        if runs "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer found; install python3.11 or set PYTHON to one"
}

make_venv() {
    python=$(find_python)
    rm -rf .venv
    echo "setup: making .venv with $("$python" --version) and $installer"
    if [ "$installer" = uv ]; then
        uv venv --quiet --no-python-downloads --python "$python" .venv
    else
        "$python" -m venv .venv >/dev/null || {
            rm -rf .venv
            fail "$python can't make a virtual environment; install its venv module (Debian: python3-venv) or uv"
        }
    fi
    pwd >"$stamp"
}

install() {
    if [ "$installer" = uv ]; then
        uv pip install --quiet --compile-bytecode --python .venv/bin/python "$@"
    else
        # An environment that uv made has no pip.
        .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
    fi
}

packages() {
    # First line: the folder, because the scripts in .venv name it and a moved project needs a new one.
    # Second line, written last: what is installed.
    stamp=.venv/maxtrader-stamp
    wanted=$(cat requirements.lock pyproject.toml | cksum)
    if [ -x .venv/bin/maxtrader ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(pwd && echo "$wanted")" ]; then
        return
    fi
    began=$(date +%s)
    installer=pip
    if command -v uv >/dev/null; then installer=uv; fi

    if runs .venv/bin/python && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$(pwd)" ]; then
        pwd >"$stamp"
        echo "setup: bringing .venv up to date with $installer"
    else
        make_venv
    fi
    echo "setup: installing the packages of requirements.lock (some 10 s with uv, a minute or two with pip)"
    install --require-hashes -r requirements.lock
    # The build backend is in the lock, so no package of unknown hash is fetched for this step either.
    install --no-deps --no-build-isolation -e .
    echo "$wanted" >>"$stamp"
    echo "setup: done in $(($(date +%s) - began)) s"
}

find_browser() {
    if [ -n "${MAXTRADER_CHROMIUM:-}" ]; then
        # A wrong path must not silently become another browser.
        [ -x "$MAXTRADER_CHROMIUM" ] && echo "$MAXTRADER_CHROMIUM"
        return
    fi
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" && return
    done
    mac="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    [ -x "$mac" ] && echo "$mac"
}

browser() {
    if find_browser >/dev/null; then return; fi
    if [ -z "${MAXTRADER_CHROMIUM:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing Debian's chromium for the browser tests"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >/dev/null 2>&1 || true
        apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 || true
        if find_browser >/dev/null; then return; fi
    fi
    echo "setup: no Chromium for the browser tests;" \
        "install chromium with the system's package manager or set MAXTRADER_CHROMIUM to one"
}

case "${1:-}" in
"") packages ;;
--browser)
    packages
    browser
    ;;
--find-browser) find_browser ;;
*) fail "unknown option $1; known are --browser and --find-browser" ;;
esac
