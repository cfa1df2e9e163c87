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
# The curve of the losses, where it can be shown: of as many columns as are left, falling.
curve() { tr '\r' '\n' <raw | sed "s/$(printf '\033')\[K//g" | grep 'step 30/30' | LC_ALL=C grep -ao "$(printf '\342\226')[^ ]*\$" | tail -n 1; }
on_terminal 120 "LC_ALL=C.UTF-8 $run --out u --lr 1e-2"
[ "$(curve | LC_ALL=C tr -dc '\342' | wc -c)" = 30 ] || fail 'a curve of 30 steps has not 30 columns'
[ "$(curve | head -c 3)" = '█' ] || fail 'the curve does not begin at its top'
curve | grep -q '▁' || fail 'the curve has no lowest point'
# What is before it takes some 70 columns.
on_terminal 90 "LC_ALL=C.UTF-8 $run --out v --lr 1e-2"
columns=$(curve | LC_ALL=C tr -dc '\342' | wc -c)
[ "$columns" -ge 6 ] && [ "$columns" -lt 30 ] || fail "a curve of $columns columns on a line of 90"
on_terminal 120 "env -u LC_CTYPE -u LANG LC_ALL=C $run --out w"
[ -z "$(curve)" ] || fail 'a curve where the locale is not UTF-8'
on_terminal 120 "LC_ALL=C.UTF-8 TERM=linux $run --out x"
[ -z "$(curve)" ] || fail 'a curve on a console without the characters'
expect 0 env LC_ALL=C.UTF-8 "$DITHER" train --new "$tiny" --data text.txt --batch 2 --threads 1 --steps 30 --out y
LC_ALL=C grep -q "$(printf '\342\226')" out && fail 'a curve in a pipe'

on_terminal 30 "$run --out n"
tr '\r' '\n' <raw | sed "s/$(printf '\033')\[K//g" | awk '/^step [0-9]*\// && length > 30 { exit 1 }' || fail 'a live line is wider than the terminal'
on_terminal 80 "'$DITHER' generate --model m --tokens 20 --threads 1"
tr '\r' '\n' <raw | grep -q '^read 1 tokens, .* wrote 20, ' || fail 'generate does not say how fast it was'

script -qec "TERM=dumb $run --out o" /dev/null </dev/null >raw 2>&1
grep -q "$(printf '\033')" raw && fail 'a dumb terminal got escapes'
exit 0
