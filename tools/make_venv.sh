#!/usr/bin/env bash
# A virtual environment with Python 3.11 or newer; on Debian and Ubuntu as root, python3-venv is installed where it lacks.
#
#   make_venv.sh FOLDER PYTHON_INSIDE [PYTHON_TO_USE]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

folder=$1
inside=$2
wanted=${3:-}

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local name
    for name in ${wanted:-python3 python3.13 python3.12 python3.11 python}; do
        if recent "$name"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

if [ -x "$inside" ] && recent "$inside" && "$inside" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

python=$(find_python || true)
if [ -z "$python" ] && [ -z "$wanted" ] && may_apt; then
    apt_install python3 python3-venv || true  # said below
    python=$(find_python || true)
fi
if [ -z "$python" ]; then
    echo "napari-dmu needs Python 3.11 or newer and found none${wanted:+ under the name $wanted}: install one from your system or python.org, or name it with make PYTHON=/path/to/python3." >&2
    exit 1
fi

# Debian has venv without ensurepip until python3-venv is there.
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    if may_apt; then
        apt_install python3-venv || true  # said below
    fi
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$python cannot make virtual environments: install its venv package (Debian, Ubuntu: sudo apt-get install python3-venv), then repeat the command." >&2
        exit 1
    fi
fi

# Never empty a folder that something else lives in.
if [ -e "$folder" ] && [ ! -e "$folder/pyvenv.cfg" ] && [ -n "$(ls -A "$folder")" ]; then
    echo "$folder exists and is no virtual environment: move it away, or name another folder with make VENV=folder." >&2
    exit 1
fi

echo "Making $folder with $("$python" --version)"
"$python" -m venv --clear "$folder"
