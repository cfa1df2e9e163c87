#!/bin/sh
# Train a small model on the Jargon File in low precision, let it write, and compare it with xz. Usage: demo.sh DITHER
# DEMO_STEPS shortens the training.
set -eu

dither=$(realpath "$1")
steps=${DEMO_STEPS:-1000}
warmup=$((steps < 400 ? steps / 8 : 50))
work=build/demo
archive=/usr/share/doc/jargon-text/jargon.txt.gz

rm -rf "$work"
mkdir -p "$work"

if [ ! -r "$archive" ]; then
    # Container images often leave /usr/share/doc out of every package; the package itself still has the text.
    echo "demo: $archive is not on this machine; taking it from the package"
    (cd "$work" && apt-get -q download jargon-text && dpkg-deb -x jargon-text_*.deb package) ||
        { echo "demo: cannot download the Debian package jargon-text" >&2; exit 1; }
    archive=$work/package$archive
fi
# The text is UTF-8; -c drops what a byte slip would make of it rather than stopping.
gunzip -c "$archive" | iconv -c -f UTF-8 -t UTF-8 >"$work/jargon.txt"

# The last tenth is held out: whole lines, so that no character is cut.
lines=$(wc -l <"$work/jargon.txt")
kept=$((lines - lines / 10))
head -n "$kept" "$work/jargon.txt" >"$work/train.txt"
tail -n +"$((kept + 1))" "$work/jargon.txt" >"$work/held-out.txt"

echo "The Jargon File: $(wc -c <"$work/train.txt") bytes to learn from, $(wc -c <"$work/held-out.txt") held out."
echo "Training with weights and backward pass in 8-bit integers (scheme paper-int8), $steps steps:"
echo
"$dither" train --new layers=4,heads=4,kv_heads=4,dim=128,ffn=352,ctx=64 --scheme paper-int8 \
    --data "$work/train.txt" --val "$work/held-out.txt" --out "$work/model" \
    --steps "$steps" --batch 6 --lr 2e-3 --warmup "$warmup" --beta2 0.99

echo
echo "What it writes after \"hacker: \":"
echo "----------------------------------------------------------------"
"$dither" generate --model "$work/model" --prompt "hacker: " --tokens 400 --temperature 0.8
echo
echo "----------------------------------------------------------------"

model_bits=$("$dither" eval --model "$work/model" --data "$work/held-out.txt" --json |
    sed -n 's/.*"bits_per_byte" *: *\([0-9.eE+-]*\).*/\1/p')
text_bytes=$(wc -c <"$work/held-out.txt")
xz_bytes=$(xz -9 -c "$work/held-out.txt" | wc -c)
xz_bits=$(awk "BEGIN { printf \"%.3f\", 8 * $xz_bytes / $text_bytes }")
model_bits=$(awk "BEGIN { printf \"%.3f\", $model_bits }")

echo
echo "Bits per byte of the held-out text:  dither $model_bits   xz -9 $xz_bits"
echo
echo "Try next:"
echo "  $1 generate --model $work/model --prompt \"The \" --tokens 300 --temperature 0.7 --seed 2"
