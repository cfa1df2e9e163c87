#!/bin/sh
# Stopped at a step, killed, or never stopped: the same model in the end. What --resume takes and refuses.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120
long() { train --steps 40 --save-every 7 --eval-every 0 "$@"; }

expect 0 long --out whole
expect 0 long --out parts --stop-at 15
prints '^go on with  dither train --resume --out parts$'
expect 0 "$DITHER" train --resume --out parts --stop-at 30 --threads 1
prints '^resumed '
expect 0 "$DITHER" train --resume --out parts
cmp whole/model.safetensors parts/model.safetensors || fail 'stopped and resumed is not uninterrupted'
is_json_lines parts/log.jsonl
[ "$(grep -c '"event": *"step"' parts/log.jsonl)" = 40 ] || fail 'the log has a step twice or not at all'

# Finished: nothing to do. No checkpoint: a new run, for which the options must be there.
before=$(hash_of whole/model.safetensors)
expect 0 "$DITHER" train --resume --out whole
prints 'finished already'
[ "$(hash_of whole/model.safetensors)" = "$before" ] || fail 'resuming a finished run changed it'
expect 0 long --out fresh --resume
cmp whole/model.safetensors fresh/model.safetensors || fail '--resume without a checkpoint is not a fresh run'
expect 2 "$DITHER" train --resume --out nothing
[ ! -e nothing ] || fail 'a refused run left a folder'

# A longer run may follow; another one may not.
expect 2 "$DITHER" train --resume --out parts --lr 0.5
says_in_one_line '--lr: 0.5 here, 0.001 in the checkpoint; .* only --steps, --save-every, --eval-every, --eval-tokens, '
expect 2 "$DITHER" train --resume --out parts --save-format bf16
says_in_one_line '--save-format: bf16 here, f32 in the checkpoint'
expect 2 "$DITHER" train --resume --out parts --new "layers=2,heads=2,dim=16,ctx=16"
says_in_one_line '--new'
expect 2 "$DITHER" train --resume --out parts --scheme f32
says_in_one_line '--scheme'
write_text other.txt 50
expect 2 "$DITHER" train --resume --out parts --data other.txt
says_in_one_line 'other.txt'
expect 2 "$DITHER" train --resume --out parts --steps 20
says_in_one_line '--steps'
expect 2 "$DITHER" train --resume --out parts --stop-at 5
says_in_one_line 'step 40 already'
expect 0 "$DITHER" train --resume --out parts --steps 44 --threads 1
prints 'step 44 of 44'

# Killed in the middle, as soon as the log tells of a step: before the first checkpoint and after some.
slow="train --new layers=2,heads=2,dim=64,ffn=128,ctx=64 --data text.txt --batch 4 --threads 1 --steps 60 --save-every 7
    --eval-every 0"

# Exit 0: the run was killed. Exit 1: it had ended before.
# shellcheck disable=SC2086
kill_after()
{
    rm -rf killed
    "$DITHER" $slow --out killed >killed.out 2>&1 &
    process=$!
    while kill -0 $process 2>/dev/null && ! grep -q "\"step\": $1," killed/log.jsonl 2>/dev/null; do
        sleep 0.01
    done
    kill -9 $process 2>/dev/null
    ended=0
    wait $process 2>/dev/null || ended=$?
    [ $ended = 137 ]
}

# The options are meant to split into words.
# shellcheck disable=SC2086
expect 0 "$DITHER" $slow --out unbroken
for step in 5 13 22; do
    # A busy machine may let a run end before it is this script's turn again.
    kill_after $step || kill_after $step || kill_after $step || fail "no run lasted to be killed after step $step"
    ! grep -q '"event": "end"' killed/log.jsonl || fail 'the run killed was at its end'
    # shellcheck disable=SC2086
    expect 0 "$DITHER" $slow --out killed --resume
    [ $step = 5 ] || prints '^resumed '
    cmp unbroken/model.safetensors killed/model.safetensors ||
        fail "killed after step $step and resumed is not uninterrupted"
    [ "$(grep -c '"event": "step"' killed/log.jsonl)" = 60 ] ||
        fail 'the log of a killed run has a step twice or not at all'
done

# A checkpoint of another shape.
expect 0 "$DITHER" train --new "layers=2,heads=2,dim=16,ctx=16" --data text.txt --batch 2 --threads 1 --steps 4 --stop-at 2 --out two
expect 0 long --out one --stop-at 2
cp two/state/checkpoint.safetensors kept
cp kept one/state/checkpoint.safetensors
expect 2 long --out one --resume
says_in_one_line '--new'
head -c 2000 kept >two/state/checkpoint.safetensors
expect 1 "$DITHER" train --resume --out two
says_in_one_line 'checkpoint'
printf 'no checkpoint' >two/state/checkpoint.safetensors
expect 1 "$DITHER" train --resume --out two
says_in_one_line 'checkpoint'
