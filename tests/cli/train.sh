#!/bin/sh
# A short run: the folder it leaves, what it prints, the events, the plan of a dry run.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120

expect 0 train --out m --steps 20 --eval-every 10 --save-every 10
for name in config.json model.safetensors tokenizer.json log.jsonl state; do
    [ -e m/$name ] || fail "m/$name is missing"
done
prints '^step 20/20  loss '
prints '^step 10: held-out loss '
prints '^held out    loss [0-9.]* nats a token, [0-9.]* bits a byte (weights in f32)$'
prints '^next  *dither generate --model m$'
prints '^done  *at step 20 of 20 in [0-9.]* s, '
prints '^disk  *[0-9.]* kB: model [0-9.]* kB, checkpoint [0-9.]* kB; [0-9.]* kB while one is replaced'
[ ! -s err ] || fail 'a run that went well writes to standard error'
[ "$(grep -c '^step  *[0-9]*/20  loss' out)" = 20 ] || fail 'a line for each twentieth of the run'
is_json_lines m/log.jsonl
for event in start step eval checkpoint end; do
    grep -q "\"event\": *\"$event\"" m/log.jsonl || fail "log.jsonl has no event '$event'"
done

# A folder that holds a run is not written over.
before=$(hash_of m/model.safetensors)
expect 2 train --out m --steps 20
says_in_one_line '--resume'
[ "$(hash_of m/model.safetensors)" = "$before" ] || fail 'the refused run changed the model'

# Same options, same bytes; --json has events and nothing else; the seed matters.
expect 0 train --out n --steps 20 --eval-every 10 --save-every 10 --json
is_json_lines out
grep -qv '"event":' out && fail '--json prints more than events'
cmp m/model.safetensors n/model.safetensors || fail 'two equal runs gave different models'
expect 0 train --out o --steps 20 --seed 2
cmp -s m/model.safetensors o/model.safetensors && fail 'another seed gave the same model'

# Options joined by =, several files, a folder, sgd, bf16 files, start from a model.
mkdir texts
cp text.txt texts/a
cp text.txt texts/b
expect 0 "$DITHER" train --new="$tiny" --data text.txt texts --data=text.txt --val texts/a --batch=2 --threads=1 --steps=3 \
    --optimizer=sgd --schedule=wsd --scheme=int8 --save-format=bf16 --out=p
[ "$(wc -c <p/model.safetensors)" -lt "$(wc -c <m/model.safetensors)" ] || fail 'bf16 weights are not smaller'
expect 0 "$DITHER" train --model m --data text.txt --batch 2 --threads 1 --steps 3 --scheme mxfp4 --out q
cmp -s m/config.json q/config.json || fail 'a run from a model changed its config'

expect 0 train --dry-run
prints '^parameters  *[0-9]'
prints '^activations  *[0-9]'
prints '^all  *[0-9]'
prints '^predicted peak resident memory [0-9]'
[ "$(wc -l <out)" -le 20 ] || fail 'a dry run prints more than the sums'
expect 0 train --dry-run --verbose
prints '^parameters .*16 x 16 '
prints '^parameters .*sum'
prints '^predicted peak resident memory [0-9]'
expect 2 train --verbose --out never
says_in_one_line '--dry-run'
expect 0 train --dry-run --json
is_json_lines out
prints '"event": *"plan"'
expect 0 train --dry-run --out never
[ ! -e never ] || fail 'a dry run wrote something'

# One of a thing is no plural.
expect 0 train --out one --steps 1
prints '^run  *1 step of 32 tokens (1 x 2 x 16)'
