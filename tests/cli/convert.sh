#!/bin/sh
# dither convert: folders and GGUF files from each other, what it says, and what it leaves where it fails.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
shape="layers=2,heads=4,kv_heads=2,dim=32,ffn=64,ctx=32"
expect 0 "$DITHER" train --new "$shape" --data text.txt --batch 2 --threads 1 --out m --steps 3

# There and back: the same weights, the same words.
expect 0 "$DITHER" convert m m.gguf
prints '^m.gguf: 20 tensors, 26,784 values, 107 kB, '
expect 0 "$DITHER" convert m.gguf again
prints '^again: 20 tensors'
cmp -s m/model.safetensors again/model.safetensors || fail "f32 did not go round"
cmp -s m/tokenizer.json again/tokenizer.json && fail "the tokenizer was copied, not made"
for model in m m.gguf again; do
    expect 0 "$DITHER" generate --model $model --prompt "the quick" --tokens 20 --temperature 0 --threads 1
    cp out said.$model
done
cmp -s said.m said.m.gguf || fail "m.gguf writes something else"
cmp -s said.m said.again || fail "again writes something else"
ls again >out
prints '^generation_config.json$'

# Every type; blocks in files alone. Rounded to nearest they are the same every time, and so they are by one seed.
for type in f16 bf16 q8_0 q4_0 q4_1; do
    expect 0 "$DITHER" convert m $type.gguf --to $type --threads 1
    expect 0 "$DITHER" convert m $type.2.gguf --to $type --name $type --threads 2
    cmp -s $type.gguf $type.2.gguf || fail "$type is another one with two threads"
    expect 0 "$DITHER" eval --model $type.gguf --data text.txt --json --threads 1
    prints '"nats_per_token":'
done
expect 0 "$DITHER" convert m q4_0.gguf --to q4_0 --force
grep -q 'note: token_embd.weight, which is the output head too, is in q8_0' err || fail "the head is not spoken of"
for seed in 1 2; do
    expect 0 "$DITHER" convert m sr.$seed.gguf --to q4_0 --rounding sr --seed $seed --name q4_0
done
cmp -s sr.1.gguf sr.2.gguf && fail "two seeds round alike"
expect 0 "$DITHER" convert m sr.3.gguf --to q4_0 --rounding sr --seed 1 --name q4_0 --threads 1
cmp -s sr.1.gguf sr.3.gguf || fail "one seed rounds in two ways"
expect 0 "$DITHER" convert m half --to bf16
grep -q 'torch_dtype.*bfloat16' half/config.json || fail "config.json says another type"
expect 0 "$DITHER" convert m shards --shard-size 30K --json
is_json_lines out
prints '"tensors":20,"values":26784,"bytes":107136,"files":'
[ -f shards/model.safetensors.index.json ] || fail "no index"
expect 0 "$DITHER" eval --model shards --data text.txt --threads 1

# Nothing is replaced unasked, nothing half-written is left.
expect 2 "$DITHER" convert m m.gguf
says_in_one_line 'm.gguf: it is there already; --force'
expect 2 "$DITHER" convert m.gguf again
says_in_one_line 'again: it is there already; --force'
expect 0 "$DITHER" convert m.gguf again --force --to f16
expect 2 "$DITHER" convert m.gguf m --force
says_in_one_line 'm: it holds a training run'
expect 2 "$DITHER" convert m.gguf m.gguf --force
says_in_one_line 'the same'
expect 2 "$DITHER" convert m other --to q8_0
says_in_one_line 'a folder has f32, f16 or bf16'
expect 2 "$DITHER" convert m other.gguf --to q5_1
says_in_one_line 'q5_1: not a type that can be written; f32'
expect 2 "$DITHER" convert m other.gguf --seed 3
says_in_one_line 'add --rounding sr'
expect 2 "$DITHER" convert m
says_in_one_line 'DST: it is missing'
expect 2 "$DITHER" convert
says_in_one_line 'SRC: it is missing'
expect 2 "$DITHER" convert a b c
says_in_one_line 'c: one source and one target only'
expect 1 "$DITHER" convert nowhere other.gguf
says_in_one_line 'nowhere'
head -c 1000 m.gguf >cut.gguf
expect 1 "$DITHER" convert cut.gguf other
says_in_one_line 'cut.gguf'
cp -r again broken
sed 's/"BPE"/"WordPiece"/' m/tokenizer.json >broken/tokenizer.json
expect 1 "$DITHER" convert broken other.gguf
says_in_one_line 'broken/tokenizer.json: its model is of type "WordPiece"'
ls >out
! grep '^other' out || fail "something was left"

# Nor is anything removed that is somebody's.
mkdir mine.tmp
printf 'mine' >mine.tmp/config.json
printf 'mine' >mine.gguf.tmp
expect 0 "$DITHER" convert m mine
expect 0 "$DITHER" convert m mine.gguf
[ "$(cat mine.tmp/config.json mine.gguf.tmp)" = minemine ] || fail "somebody's files are gone"
printf 'mine' >mine/notes.txt
expect 0 "$DITHER" convert m.gguf mine --force --shard-size 30K
[ "$(cat mine/notes.txt)" = mine ] || fail "somebody's file is gone from the folder"
[ ! -e mine/model.safetensors ] || fail "the old weights are still there"
mkdir mine/model.safetensors
expect 2 "$DITHER" convert m mine --force
says_in_one_line 'mine/model.safetensors: a folder, where a file of the model belongs'
rmdir mine/model.safetensors
expect 0 "$DITHER" eval --model mine --data text.txt --threads 1
ls >out
! grep '^mine.*[0-9].tmp$' out || fail "something was left"

# What a run that starts from a file has beside its weights comes from there.
expect 0 "$DITHER" train --model m.gguf --data text.txt --batch 2 --threads 1 --out tuned --steps 1
expect 0 "$DITHER" convert m.gguf made
for file in tokenizer.json tokenizer_config.json generation_config.json; do
    cmp -s tuned/$file made/$file || fail "tuned/$file is another one"
done
expect 0 "$DITHER" train --model again --data text.txt --batch 2 --threads 1 --out tuned2 --steps 1 --save-format bf16
for file in tokenizer.json tokenizer_config.json generation_config.json; do
    cmp -s tuned2/$file again/$file || fail "tuned2/$file was not copied"
done
grep -q bfloat16 tuned2/config.json || fail "tuned2/config.json says another type"
expect 0 "$DITHER" convert tuned2 tuned2.gguf --to q8_0
