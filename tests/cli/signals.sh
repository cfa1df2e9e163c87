#!/bin/sh
# SIGINT and SIGTERM: the step is finished, a checkpoint written, exit 130 and 143. One process at a time on a folder.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120

start() # OUT: a run without end in the background
{
    "$DITHER" train --new "$tiny" --data text.txt --batch 2 --threads 1 --steps 10000000 --eval-every 0 --out "$1" \
        >run.out 2>run.err &
    process=$!
    tries=0
    until grep -q '"event": *"step"' "$1/log.jsonl" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { kill -9 $process; fail 'no step within ten seconds'; }
        sleep 0.1
    done
}

for pair in INT:130 TERM:143; do
    folder=stopped_${pair%:*}
    start $folder
    before=$(hash_of $folder/config.json)
    expect 1 train --out $folder --resume --steps 10000000 --eval-every 0
    says_in_one_line 'process'
    expect 1 train --out $folder --steps 5
    says_in_one_line 'process'
    [ "$(hash_of $folder/config.json)" = "$before" ] || fail 'the second process changed the folder'
    kill -"${pair%:*}" $process
    code=0
    wait $process || code=$?
    cat run.err >err
    [ $code = "${pair#*:}" ] || fail "exit code $code after SIG${pair%:*} where ${pair#*:} is right"
    says 'finishing this step'
    grep -q "^go on with  dither train --resume --out $folder" run.out || fail 'it does not say how to go on'
    expect 0 "$DITHER" inspect $folder
    step=$(sed -n 's/^stopped  *after step \([0-9]*\) .*/\1/p' run.out)
    expect 0 "$DITHER" train --resume --out $folder --stop-at $((step + 3)) --threads 1
    prints "^resumed  *after step $step of"
done

# Stopped while it gets ready: no step was done, so nothing is left, and what was in the folder before stays.
awk 'BEGIN { for (i = 0; i < 60000; i++) print "line " i ": the quick brown fox counts " (i * i) % 97 " sheep" }' >long.txt
mkdir early
echo mine >early/notes
for wait in state none; do
    "$DITHER" train --new layers=8,heads=4,dim=512,ctx=64 --data long.txt --threads 1 --out early >run.out 2>run.err &
    process=$!
    tries=0
    until [ $wait = none ] || [ -e early/state ]; do
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || { kill -9 $process; fail 'no state within ten seconds'; }
        sleep 0.01
    done
    catches $process
    kill -INT $process
    code=0
    wait $process || code=$?
    [ $code = 130 ] || fail "exit code $code where 130 is right"
    # A busy machine may have done a step before the signal came.
    if grep -q '^stopped ' run.out; then
        echo 'skipped in part: a step was done already'
        rm -rf early/state early/*.json* early/*.safetensors early/lock
        continue
    fi
    [ $wait = none ] || grep -q '^note  *stopped before the first step was done: nothing is kept$' run.out ||
        { cat run.out >&2; fail 'it does not say that nothing is kept'; }
    [ "$(ls early)" = notes ] || { ls early >&2; fail 'a run without a step left files'; }
done
expect 0 "$DITHER" train --resume --new "$tiny" --data text.txt --batch 2 --threads 1 --steps 2 --out early
