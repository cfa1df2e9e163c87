#!/bin/sh
# Mistakes on the command line: exit 2, at most six lines, the nearest right word.
. "$(dirname "$0")/checks.inc"

expect 2 "$DITHER"
says 'a command is missing'
expect 2 "$DITHER" trian
says "did you mean 'train'"
expect 2 "$DITHER" --versoin
says "did you mean '--version'"
expect 2 "$DITHER" zzzzzzzz
says 'unknown command'

expect 2 "$DITHER" gen
says "did you mean 'generate'"
expect 2 "$DITHER" chat
says "did you mean 'dither generate --model PATH --chat'"
expect 2 "$DITHER" help trian
says "did you mean 'train'"
expect 2 "$DITHER" train help
says 'did you mean --help?'
expect 2 "$DITHER" generate --temp 1
says 'did you mean --temperature?'
expect 2 "$DITHER" train --stpes 3
says '--stpes: unknown option; did you mean --steps?'
expect 2 "$DITHER" train -steps 3
says 'did you mean --steps?'
expect 2 "$DITHER" train --weight_decay=0
says 'did you mean --weight-decay?'
expect 2 "$DITHER" generate --temprature 1
says 'did you mean --temperature?'
expect 2 "$DITHER" eval --modle x
says 'did you mean --model?'
expect 2 "$DITHER" cpu --jsn
says 'did you mean --json?'
expect 2 "$DITHER" train --qqqqqqqqqqqq
says 'unknown option'

expect 2 "$DITHER" train --steps
says '--steps: needs a value'
expect 2 "$DITHER" train --steps --batch 3
says '--steps: needs a value'
expect 2 "$DITHER" train --json=1
says 'takes no value'
expect 2 "$DITHER" train --batch 3 --batch 4
says 'given twice'
expect 2 "$DITHER" train stray
says 'stray'
expect 2 "$DITHER" inspect a b
says 'one PATH only'
expect 2 "$DITHER" inspect
says 'missing'

for value in -3 1.5 x '' 99999999999999999999999 0x10; do
    expect 2 "$DITHER" train --steps "$value"
    says 'not a whole number'
done
for value in nan inf -inf x '' 1e999 1e-3x; do
    expect 2 "$DITHER" train --lr "$value"
    says 'not a finite number'
done
for value in 12Q M 1.2.3 -5 99999999T; do
    expect 2 "$DITHER" train --memory "$value"
    says 'not a size'
done
expect 2 "$DITHER" train --optimizer admw
says "did you mean 'adamw'"
expect 2 "$DITHER" train --schedule step
says 'cosine, linear, constant, wsd'
expect 2 "$DITHER" train --min-lr -1
says 'out of range'
expect 2 "$DITHER" generate --model x --top-p 0
says 'above 0'
expect 2 "$DITHER" generate --model x --tokens 0
says 'at least 1'
expect 2 "$DITHER" generate --model x --chat --prompt ''
says 'empty'

expect 2 "$DITHER" generate
says '--model: it is missing'
expect 2 "$DITHER" eval --model x
says '--data: it is missing'
expect 2 "$DITHER" eval --data x
says '--model: it is missing'

write_text text.txt 40
mkdir folder
: >folder/config.json
for command in generate eval train; do
    expect 2 "$DITHER" $command folder
    says 'did you mean --model folder?'
done
expect 2 "$DITHER" eval text.txt
says 'did you mean --data text.txt?'
expect 2 "$DITHER" generate once
says 'did you mean --prompt once?'
expect 2 "$DITHER" train --new "$tiny" --data text.txt
says '--out: it is missing'
expect 2 "$DITHER" train --new "$tiny" --out m
says '--data: it is missing'
expect 2 "$DITHER" train --data text.txt --out m
says '--new'
expect 2 "$DITHER" train --new "$tiny" --model x --data text.txt --out m
says 'not from both'
expect 2 "$DITHER" train --new "$tiny" --data text.txt --val text.txt --val-fraction 0.2 --out m
says '--val-fraction'
expect 2 "$DITHER" train --resume
says '--out: it is missing'
[ ! -e m ] || fail 'a wrong command line left a folder behind'
