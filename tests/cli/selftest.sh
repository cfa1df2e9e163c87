#!/bin/sh
# dither selftest on this processor and in portable C: every line is ok, as text and as JSON, for any threads and seed.
. "$(dirname "$0")/checks.inc"
unset DITHER_CPU

expect 0 "$DITHER" selftest
prints '^ok    philox  *0 of 12 wrong'
prints '^ok    rounding ref sr8  *0 of [0-9]* wrong, [0-9.]* sigma of 8\.40'
prints '^ok    copies int8 '
prints '^ok    products s8 ref '
prints '^all ok in [0-9.]* s$'
if grep -v -e '^ok  ' -e '^all ok' out; then fail 'a line that is not ok'; fi

expect 0 env DITHER_CPU=ref "$DITHER" selftest --json --seed 99 --threads 2
is_json_lines out
prints '^{"name":"philox","compared":"[^"]*","statistic":"0 of 12 wrong","deviation":0,"limit":0,"wrong":0,"ok":true}$'
prints '"name":"draws ref roles"'
grep -q '"ok":false' out && fail 'a line is not ok'
grep -q 'avx' out && fail 'DITHER_CPU=ref leaves nothing but portable C'

expect 2 "$DITHER" selftest --threads 5000
says 'threads'
expect 2 "$DITHER" selftest --sed 3
says 'did you mean --seed?'
expect 2 env DITHER_CPU=avx1024 "$DITHER" selftest
says_in_one_line 'avx1024'
