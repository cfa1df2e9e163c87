#!/bin/sh
# dither inspect: the shape, the tensors by kind, the sums.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
expect 0 train --out m --steps 1

# 256*16 embedding; q 16*16, k and v 8*16, o 16*16; three of 32*16; three norms of 16; the head is tied.
expect 0 "$DITHER" inspect m
prints '^model  *layers=1,heads=2,kv_heads=1,head_dim=8,dim=16,ffn=32,ctx=16,vocab=256$'
prints '^parameters  *6,448$'
prints '^embedding .* 1 tensor  .*4,096 values'
prints '^attention .*4 tensors .*768 values'
prints '^mlp .*3 tensors .*1,536 values'
prints '^norm .*3 tensors .*48 values'
prints '^all .*11 tensors .*6,448 values .*26 kB'
prints '^attention *model.layers.0.self_attn.k_proj.weight *F32 *8 x 16'
expect 0 "$DITHER" inspect m/model.safetensors
prints '^all .*11 tensors'
expect 0 "$DITHER" inspect m --json
is_json_lines out
prints '"parameters":6448,'
expect 1 "$DITHER" inspect nowhere
says_in_one_line 'nowhere'
expect 1 "$DITHER" inspect text.txt
says_in_one_line 'text.txt: not a model folder'
expect 1 "$DITHER" inspect m/config.json
says_in_one_line 'not a model folder but a file of one, JSON; did you mean m?'
mkdir empty
expect 1 "$DITHER" inspect empty
says_in_one_line 'empty: not a model folder'

# A GGUF file: metadata, tensors of every type; whatever its name is.
cp "$root/tests/golden/small.gguf" anything
expect 0 "$DITHER" inspect anything
prints '^general.architecture  *llama$'
prints '^test.i64  *-9223372036854775808$'
prints '^test.f32  *0.1$'
prints '^test.yes  *true$'
prints '^test.words  *4 x string$'
prints '^model  *cannot be run: '
prints '^other *b.weight *Q4_1 *3 x 64 *120 B$'
prints '^all .*3 tensors .*387 values'
expect 0 "$DITHER" inspect anything --json
is_json_lines out
prints '"test.text":"Größe 寸 😀"'
prints '"test.numbers":{"type":"int32","count":3}'
prints '"type":"Q4_1","rows":3,"cols":64,"bytes":120'
head -c 1000 anything >cut
expect 1 "$DITHER" inspect cut
says_in_one_line 'cut at byte .*copy or download it again'

# Shards: one list.
mkdir parts
cp m/config.json parts
cp m/model.safetensors parts/model-00001-of-00001.safetensors
"$DITHER" inspect m --json | grep -o '"name":"[^"]*"' | sort |
    sed 's/"name":\(.*\)/\1:"model-00001-of-00001.safetensors"/' | paste -sd, |
    sed 's/.*/{"metadata":{},"weight_map":{&}}/' >parts/model.safetensors.index.json
expect 0 "$DITHER" inspect parts
prints '^all .*11 tensors .*6,448 values'
rm parts/model-00001-of-00001.safetensors
expect 1 "$DITHER" inspect parts
says_in_one_line 'shard model-00001-of-00001.safetensors is missing'
