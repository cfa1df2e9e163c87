#!/bin/sh
# dither inspect: the shape, the tensors by kind, the sums.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
expect 0 train --out m --steps 1

# 256*16 embedding; q 16*16, k and v 8*16, o 16*16; three of 32*16; three norms of 16; the head is tied.
expect 0 "$DITHER" inspect m
prints '^model  *layers=1,heads=2,kv_heads=1,head_dim=8,dim=16,ffn=32,ctx=16,vocab=256$'
prints '^parameters  *6,448$'
prints '^embedding .*1 tensors .*4,096 values'
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
says_in_one_line 'not a model folder; did you mean m?'
mkdir empty
expect 1 "$DITHER" inspect empty
says_in_one_line 'empty: not a model folder'
