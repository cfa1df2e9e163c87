#!/bin/sh
# dither study: verdicts, files, resuming after kill -9, mistakes.
. "$(dirname "$0")/checks.inc"

# 600 pictures of 8 x 8 from the program's own bytes, of three classes.
mkdir data
{
    printf '\000\000\010\003\000\000\002\130\000\000\000\010\000\000\000\010'
    head -c 38400 "$DITHER"
} >data/train-images-idx3-ubyte
{
    printf '\000\000\010\001\000\000\002\130'
    i=0
    while [ $i -lt 200 ]; do printf '\000\001\002'; i=$((i + 1)); done
} >data/train-labels-idx1-ubyte

study()
{
    "$DITHER" study mnist --data data --net 64-12-3 --seeds 2 --steps 60 "$@"
}

expect 0 study --out whole --threads 1
prints '^claim  *64-12-3: '
[ "$(grep -c '^  verdict ' out)" = 5 ] || fail 'not five verdicts'
prints 'saved in    whole'
[ "$(wc -l <whole/results.csv)" = 65 ] || fail 'results.csv is not complete'
[ "$(head -n 1 whole/results.csv)" = 'net,layer,step_log2,batch,seed,grad_norm' ] || fail 'another head of results.csv'
tr -d '\n' <whole/results.json >one && echo >>one
is_json_lines one

# Packed files are the same files; killed at some point, the same command ends with the same results.
gzip -k data/train-images-idx3-ubyte && rm data/train-images-idx3-ubyte
gzip data/train-labels-idx1-ubyte
"$DITHER" study mnist --data data --net 64-12-3 --seeds 2 --steps 60 --out killed --threads 2 >log 2>&1 &
run=$!
tries=0
while [ "$(ls killed/cells 2>/dev/null | grep -c 'json$')" -lt 4 ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || fail 'no run finishes'
    sleep 0.05
done
kill -KILL $run
wait $run 2>/dev/null
[ ! -e killed/results.json ] || echo 'the study was over before it was killed'
cat killed/cells/*.json >before
expect 0 study --out killed --threads 2 --json
is_json_lines out
prints '"event":"claim"'
prints '"event":"end"'
cmp whole/results.json killed/results.json || fail 'results.json after kill -9 is another'
cmp whole/results.csv killed/results.csv || fail 'results.csv after kill -9 is another'
cat killed/cells/*.json | grep -qFx -f before || fail 'finished runs were not kept'

# Ctrl-C: what is finished stays, nothing is half-written.
"$DITHER" study mnist --data data --net 64-12-3 --seeds 2 --steps 100000 --out stopped --threads 2 >log 2>&1 &
run=$!
sleep 0.5
kill -TERM $run
wait $run
[ $? = 143 ] || fail 'SIGTERM does not end it with 143'
[ ! -e stopped/results.json ] || fail 'results of a study that was stopped'

# The page is one file with everything in it, and escapes what it was told.
grep -q 'https*://[^ ]*\.\(js\|css\|woff\)' whole/report.html && fail 'the page fetches something'
grep -q '<script' whole/report.html && fail 'the page runs something'
expect 0 study --out 'a <b>&"x' --threads 2
grep -q "a &lt;b&gt;&amp;&quot;x" 'a <b>&"x/report.html' || fail 'the command line is not escaped'
grep -q '<b>' 'a <b>&"x/report.html' && fail 'the command line is an element'
if command -v gnuplot >/dev/null; then
    [ "$(grep -c '<svg' whole/report.html)" = 4 ] || fail 'not two plots for each of two widths'
fi

# Without gnuplot: said, and the tables are there.
mkdir path
ln -s "$(command -v cat)" path/cat
expect 0 env PATH="$PWD/path" "$DITHER" study mnist --data data --net 64-12-3 --seeds 2 --steps 60 --out whole
prints 'no plots    gnuplot did not draw them'
grep -q 'No plots here' whole/report.html || fail 'the page does not say that plots are missing'
grep -q '<svg' whole/report.html && fail 'plots without gnuplot'
grep -q '<td>1/16</td>' whole/report.html || fail 'a page without tables'

# Mistakes.
expect 2 "$DITHER" study
says 'say which study'
expect 2 "$DITHER" study mnits
says "did you mean 'mnist'"
expect 2 "$DITHER" study mnist --out x
says '--data: it is missing'
expect 2 "$DITHER" study mnist --data data
says '--out: it is missing'
expect 2 "$DITHER" study mnist --data data --out x
says 'the pictures have 8 x 8 pixels, so 64 is right'
expect 2 study --batch 700 --out x
says '700 is not 1 to 255 times'
expect 2 study --batch 512x --out x
says 'not a whole number'
expect 1 "$DITHER" study mnist --data data --net 64-12-3 --seeds 2 --steps 61 --out whole
says_in_one_line 'kept by a study of other options or data'
rm data/train-labels-idx1-ubyte.gz
expect 1 study --out x
says_in_one_line 'neither train-labels-idx1-ubyte nor train-labels-idx1-ubyte.gz is there'
[ ! -e x ] || fail 'a wrong command line left a folder behind'
