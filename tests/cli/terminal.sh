#!/bin/sh
# On a terminal: one live line that is written over and fits the width.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
if ! script -qec true /dev/null >/dev/null 2>&1; then
    echo 'left out: there is no script(1) to make a terminal'
    exit 77
fi

on_terminal() # WIDTH COMMAND
{
    script -qec "stty cols $1; TERM=xterm $2" /dev/null </dev/null >raw 2>&1 || { cat raw >&2; fail "on a terminal: $2"; }
}

run="'$DITHER' train --new $tiny --data text.txt --batch 2 --threads 1 --steps 30 --eval-every 10"
on_terminal 100 "$run --out m"
[ "$(grep -c "$(printf '\033')\[K" raw)" -ge 1 ] || fail 'no live line'
tr '\r' '\n' <raw | grep 'step 30/30' | grep loss | grep val | grep 'tokens/s' | grep ETA | grep -q mem ||
    fail 'the live line lacks a field'
on_terminal 30 "$run --out n"
tr '\r' '\n' <raw | sed "s/$(printf '\033')\[K//g" | awk '/^step [0-9]*\// && length > 30 { exit 1 }' || fail 'a live line is wider than the terminal'
on_terminal 80 "'$DITHER' generate --model m --tokens 20 --threads 1"
tr '\r' '\n' <raw | grep -q '^read 1 tokens, .* wrote 20, ' || fail 'generate does not say how fast it was'

script -qec "TERM=dumb $run --out o" /dev/null </dev/null >raw 2>&1
grep -q "$(printf '\033')" raw && fail 'a dumb terminal got escapes'
exit 0
