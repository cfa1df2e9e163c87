#!/bin/sh
# The noise of stochastic rounding while a run goes on: events, the alarm, --auto-batch, resuming; what is refused.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120
bits() { echo "act=bf16,weight=int8/row,bact=$1,goact=$1,goweight=$1,same_weight"; }
run() { "$DITHER" train --new "$tiny" --data text.txt --threads 1 --eval-every 0 "$@"; }
small() { run --batch 1 "$@"; }

# Same weights with and without; the events have what was measured, and the roles that quantize.
expect 0 small --steps 9 --noise-every 0 --out off --json
! grep -q '"noise"' out || fail 'noise that nobody measured'
expect 0 small --steps 9 --noise-every 4 --out on --json
cmp off/model.safetensors on/model.safetensors || fail 'probes show in the weights'
is_json_lines on/log.jsonl
[ "$(grep -c '"noise": [0-9].*"noise_ratio": ' on/log.jsonl)" = 6 ] || fail 'steps 4 to 9 have an estimate'
grep -q '"step": 4,.*"goweight": {"elements": [0-9]*, "clip_rate": 0, "variance": [0-9]' on/log.jsonl ||
    fail 'no variance of goweight'
grep -q '"step": 4,.*"act": {"elements": [0-9]*, "clip_rate": 0}' on/log.jsonl || fail 'no clip rate of act'

# Two bits and one sequence: the alarm, once; with --auto-batch more micro-batches instead, resumed to the same bytes.
expect 0 small --steps 40 --noise-every 2 --scheme "$(bits int2/row:sr)" --out loud
prints "^note        rounding's noise drowns the gradient: "
prints 'times the batch: --accumulate '
[ "$(grep -c '^note ' out)" = 1 ] || fail 'the alarm is given more than once'
auto() { small --steps 150 --lr 0.005 --noise-every 2 --scheme "$(bits int2/row:sr)" --auto-batch --auto-batch-max 4 "$@"; }
expect 0 auto --out whole
prints 'from here on 2 micro-batches a step, not 1$'
prints 'from here on 4 micro-batches a step, not 2$'
grep -q '"step": 1,.*"accumulate": 1' whole/log.jsonl || fail 'the first step is not of one micro-batch'
grep -q '"step": 150,.*"trained_tokens": 64,.*"accumulate": 4' whole/log.jsonl || fail 'the last step is not of four'
expect 0 auto --out parts --stop-at 33
expect 0 "$DITHER" train --resume --out parts --stop-at 100 --threads 1
expect 0 "$DITHER" train --resume --out parts
cmp whole/model.safetensors parts/model.safetensors || fail 'stopped and resumed is not uninterrupted'
cmp whole/state/checkpoint.safetensors parts/state/checkpoint.safetensors || fail 'the checkpoints differ'

# Eight bits and sixteen sequences: nothing to say.
expect 0 run --batch 16 --steps 40 --noise-every 2 --out quiet
! grep -q '^note' out || fail 'an alarm without reason'

expect 2 small --scheme f32 --auto-batch --out refused
says_in_one_line '--auto-batch'
expect 2 small --auto-batch --noise-every 0 --out refused
says_in_one_line '--noise-every'
expect 2 small --auto-batch-max 0 --out refused
says '--auto-batch-max'
expect 0 small --scheme f32 --steps 2 --noise-every 1 --out plain
