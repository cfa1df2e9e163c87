#!/bin/sh
# --epochs says how often all data are seen; the steps follow from the data, and stay when a run is resumed.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
steps_of() { sed -n 's/.*"event": "start".*"options": {"steps": \([0-9]*\),.*/\1/p' "$1/log.jsonl" | tail -n 1; }

# A text of n tokens, none held out, has floor((n - 1) / seq) - 1 windows an epoch.
tokens=$(wc -c <text.txt | tr -d ' ')
windows=$(((tokens - 1) / 16 - 1))
ceil() { awk -v x="$1" -v y="$2" 'BEGIN { n = int(x / y); print n + (n * y < x) }'; }
text() { train --val-fraction 0 --scheme f32 --eval-every 0 "$@"; }
expect 0 text --epochs 2 --accumulate 3 --out two
[ "$(steps_of two)" = "$(ceil $((2 * windows)) 6)" ] || fail "2 epochs of $windows windows are $(steps_of two) steps"
prints "^run  *$(steps_of two) steps, 2 epochs, of 96 tokens (3 x 2 x 16)"
prints "^done  *at step $(steps_of two) of $(steps_of two)"
grep -q '"epochs": 2,' two/log.jsonl || fail 'the log does not say how many epochs'
expect 0 text --epochs 0.5 --out half
[ "$(steps_of half)" = "$(ceil "$windows" 4)" ] || fail "half an epoch is $(steps_of half) steps"
expect 0 text --epochs 0.000001 --out least
[ "$(steps_of least)" = 1 ] || fail "the least is $(steps_of least) steps"
head -c 192 text.txt >ten.txt # 10 windows: 1.1 of them are 11 steps, not 12
expect 0 "$DITHER" train --new "$tiny" --data ten.txt --val-fraction 0 --batch 1 --epochs 1.1 --dry-run
prints '^run  *11 steps, 1.1 epochs,'

# It is a name for a number of steps.
expect 0 text --steps "$(steps_of half)" --out named
cmp half/model.safetensors named/model.safetensors || fail '--epochs trains otherwise than as many --steps'

# Records: sequences are what is counted.
for i in 1 2 3 4 5 6 7; do echo "{\"text\":\"number $i\"}"; done >r.jsonl
expect 0 "$DITHER" data r.jsonl --seq 16 --json
sequences=$(sed 's/.*"sequences":\([0-9]*\),.*/\1/' out)
records() { "$DITHER" train --new "$tiny" --data r.jsonl --val-fraction 0 --batch 2 --threads 1 --scheme f32 "$@"; }
expect 0 records --epochs 3 --out rec
[ "$(steps_of rec)" = "$(ceil $((3 * sequences)) 2)" ] || fail "3 epochs of $sequences sequences are $(steps_of rec) steps"

# Stopped and resumed: the same steps, the same model; more epochs go on; --steps takes their place.
expect 0 records --epochs 3 --stop-at 4 --out parts
expect 0 "$DITHER" train --resume --out parts --threads 1
prints 'steps, 3 epochs,'
cmp rec/model.safetensors parts/model.safetensors || fail 'stopped and resumed is not uninterrupted'
expect 0 "$DITHER" train --resume --out parts --epochs 5 --threads 1
[ "$(steps_of parts)" = "$(ceil $((5 * sequences)) 2)" ] || fail "going on to 5 epochs is $(steps_of parts) steps"
last=$(($(steps_of parts) + 2))
expect 0 "$DITHER" train --resume --out parts --steps $last --threads 1
prints "^run  *$last steps of"
expect 0 "$DITHER" train --resume --out parts --threads 1
prints "finished already, at step $last"
expect 2 "$DITHER" train --resume --out parts --epochs 1
says_in_one_line '--epochs: [0-9]* steps, but the checkpoint is at step'

# What cannot be.
expect 2 text --epochs 2 --steps 5 --out none
says_in_one_line '--epochs: --steps says how long'
for wrong in 0 -1 nan x; do
    expect 2 text --epochs $wrong --out none
    says '--epochs'
done
expect 2 text --epochs 1 --warmup $((windows + 1)) --out none
says_in_one_line '--warmup: .* is more than the .* steps of --epochs 1$'
[ ! -e none ] || fail 'a refused run left a folder'
exit 0
