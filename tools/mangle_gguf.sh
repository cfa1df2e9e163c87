#!/bin/sh
# A GGUF file cut off at random places, and with single bytes of what stands before its tensors changed: every one must
# be an error in words or load, and nothing may crash. For a real model and a build with sanitizers:
#   tools/mangle_gguf.sh build/asan/dither build/models/SmolLM2-135M-Instruct.Q4_1.gguf [CUTS [CHANGES [SEED]]]
set -eu
[ $# -ge 2 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
dither=$1
file=$2
cuts=${3:-200}
changes=${4:-1000}
seed=${5:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cp "$file" "$work/file"
size=$(wc -c <"$file")
# The tensors are what is left behind their sum at the end of the file.
data=$("$dither" inspect "$file" --json | grep -o '"bytes":[0-9]*' | head -n 1 | tr -dc 0-9)
head_size=$((size - data))

loaded=0
refused=0
judge() { # what was done
    status=0
    "$dither" inspect "$work/file" >"$work/out" 2>"$work/err" || status=$?
    if [ $status = 0 ]; then
        loaded=$((loaded + 1))
    elif [ $status = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q '^dither: ' "$work/err"; then
        refused=$((refused + 1))
    else
        echo "$1: status $status" >&2
        cat "$work/err" >&2
        exit 1
    fi
}

# COUNT numbers below LIMIT, the same for the same seed.
numbers() {
    awk -v seed="$seed" -v count="$1" -v limit="$2" \
        'BEGIN { srand(seed); for (i = 0; i < count; i++) printf "%d %d\n", rand() * limit, 1 + rand() * 255 }'
}

# From the longest to the shortest, so that one file does for all of them. The first half inside of what stands before
# the tensors.
{ numbers $((cuts / 2)) "$head_size"; numbers $((cuts - cuts / 2)) "$size"; } | sort -rn >"$work/cuts"
while read -r at rest; do
    truncate -s "$at" "$work/file"
    judge "cut at $at"
done <"$work/cuts"
echo "cuts: $refused refused, $loaded loaded"
[ "$loaded" = 0 ] || { echo "a file that lacks bytes was loaded" >&2; exit 1; }

refused=0
cp "$file" "$work/file"
numbers "$changes" "$head_size" >"$work/changes"
while read -r at by; do
    old=$(od -An -tu1 -j "$at" -N 1 "$work/file" | tr -dc 0-9)
    # shellcheck disable=SC2059 # the byte is the format
    printf "\\$(printf %03o $((old ^ by)))" | dd of="$work/file" bs=1 seek="$at" conv=notrunc status=none
    judge "byte $at changed by $by"
    printf "\\$(printf %03o "$old")" | dd of="$work/file" bs=1 seek="$at" conv=notrunc status=none
done <"$work/changes"
echo "changes: $refused refused, $loaded loaded"
