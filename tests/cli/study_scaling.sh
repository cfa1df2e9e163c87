#!/bin/sh
# `dither study scaling` on a tiny model: its files, its claims, resumed after a kill, the same for any threads.
. "$(dirname "$0")/checks.inc"
write_text text.txt 300
expect 0 train --steps 40 --lr 3e-3 --out model

study()
{
    "$DITHER" study scaling --model model --data text.txt --sequences 16 --seq 8 --threads 1 "$@"
}

expect 0 study --out whole
for name in paper-int8 paper-e4m3 paper-e4m1; do
    prints "^claim  *$name: the variance of backward stochastic rounding falls as 1/b"
done
prints '^  measured  slope -[01]\.'
prints '^claim  *int8 to int3: the variance grows as D^p'
prints '^claim  *weight quantization at int4: an error that no batch averages out'
prints '^saved in  *whole'
is_json_lines whole/cells/f32.json
head -n 1 whole/results.csv | grep -q '^of,scheme,draw,place,batch,square$' || fail 'results.csv has another head'
# 1 + 10 x 3 + 10 cells, four places (whole, embedding, layer, output), five batches.
[ "$(wc -l <whole/results.csv)" = $((1 + 41 * 4 * 5)) ] || fail "results.csv has $(wc -l <whole/results.csv) lines"
if command -v python3 >/dev/null && python3 -c 0 2>/dev/null; then
    python3 -c '
import json
r = json.load(open("whole/results.json"))
rows = {(s["of"], s["scheme"]): s for s in r["schemes"] if s["place"] == "whole"}
slope = rows["sr_variance", "paper-e4m1"]["slope"]
assert -1.2 < slope[0] < -0.8, slope
squares = [rows["sr_variance", n]["square"][0] for n in ("paper-int8", "int7", "int6", "int5", "paper-int4", "int3")]
assert squares == sorted(squares), squares
floor = rows["weight_error", "int4"]["floor"]
assert 0 < floor[1] < floor[0] < floor[2], floor' || fail 'the results are not those of rounding'
fi
grep -q '<table class="claims">' whole/report.html || fail 'the page has no claims'
grep -q 'http' whole/report.html && ! grep -q 'www.w3.org' whole/report.html && fail 'the page needs a network'

# ---- killed and resumed, and other threads -------------------------------------------------------------------

"$DITHER" study scaling --model model --data text.txt --sequences 16 --seq 8 --threads 1 --out killed >run.out 2>&1 &
process=$!
tries=0
until [ "$(ls killed/cells 2>/dev/null | wc -l)" -ge 5 ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { kill -9 $process; fail 'no cell within thirty seconds'; }
    sleep 0.1
done
kill -9 $process
wait $process 2>/dev/null
[ ! -e killed/results.json ] || fail 'it was not killed in the middle'
rm -f killed/cells/*.tmp
expect 0 "$DITHER" study scaling --model model --data text.txt --sequences 16 --seq 8 --threads 2 --out killed
for name in results.json results.csv; do
    cmp -s whole/$name killed/$name || fail "$name is another one after a kill, and with two threads"
done

# ---- mistakes ------------------------------------------------------------------------------------------------

expect 1 study --out whole --elements 2000
says_in_one_line 'other options or data'
expect 2 "$DITHER" study scaling --model model --data text.txt --out other --sequences 12
says_in_one_line '12; it must be a power of two'
printf 'too short a text for sixteen sequences' >short.txt
expect 1 "$DITHER" study scaling --model model --data short.txt --sequences 16 --seq 8 --out other
says_in_one_line 'short.txt: the data are 3 sequences of 8 tokens, but the study is of 16; more data, a smaller --seq, or fewer --sequences'
expect 2 "$DITHER" study scaling --data text.txt --out other
says_in_one_line '--model: it is missing'
expect 2 "$DITHER" study scaling --model model --data text.txt
says_in_one_line '--out: it is missing'
expect 1 "$DITHER" study scaling --model nowhere --data text.txt --out other
says_in_one_line 'nowhere'
[ ! -e other ] || fail 'a wrong command line left a folder behind'
exit 0
