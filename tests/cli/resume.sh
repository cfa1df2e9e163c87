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
says_in_one_line '--lr'
expect 2 "$DITHER" train --resume --out parts --new "layers=2,heads=2,dim=16,ctx=16"
says_in_one_line '--new'
expect 2 "$DITHER" train --resume --out parts --scheme f32
says_in_one_line '--scheme'
write_text other.txt 50
expect 2 "$DITHER" train --resume --out parts --data other.txt
says_in_one_line 'other.txt'
expect 2 "$DITHER" train --resume --out parts --steps 20
says_in_one_line '--steps'
expect 0 "$DITHER" train --resume --out parts --steps 44 --threads 1
prints 'step 44 of 44'

# Killed at any moment.
for pause in 0.02 0.1 0.3; do
    rm -rf killed
    "$DITHER" train --new "$tiny" --data text.txt --batch 2 --threads 1 --steps 40 --save-every 7 --eval-every 0 \
        --out killed >killed.out 2>&1 &
    process=$!
    sleep $pause
    kill -9 $process 2>/dev/null
    wait $process 2>/dev/null
    expect 0 long --out killed --resume
    cmp whole/model.safetensors killed/model.safetensors || fail "killed after $pause s and resumed is not uninterrupted"
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
