#!/bin/sh
# Install the packages of tools/packages.txt that are missing. Usage: deps.sh [ci]
set -eu

list=$(dirname "$0")/packages.txt
kind=${1:-}

installed() {
    dpkg-query -W -f='${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is not a Debian or Ubuntu system; install what $list names by hand" >&2
    exit 0
fi

missing=
optional=
while read -r name words; do
    case $name in '' | '#'*) continue ;; esac
    case $words in *ci*) [ "$kind" = ci ] || continue ;; esac
    installed "$name" && continue
    case $words in
    *'?'*) optional="$optional $name" ;;
    *) missing="$missing $name" ;;
    esac
done <"$list"

if [ -z "$missing$optional" ]; then
    exit 0
fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "deps: neither root nor sudo; as root, run: $*" >&2
        exit 1
    fi
}

# Optional packages alone are no reason to ask for the network when their absence is already known.
[ -z "$missing" ] || as_root apt-get -q update
for name in $optional; do
    if apt-cache show "$name" >/dev/null 2>&1; then
        missing="$missing $name"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi

echo "deps: installing$missing"
# The names are meant to split into words.
# shellcheck disable=SC2086
as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
