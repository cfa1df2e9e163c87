#!/bin/sh
# dither inspect on a real model, where `make smollm2` has fetched it: counts, types and sums that were known beforehand.
. "$(dirname "$0")/checks.inc"
model=$root/build/models/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$model" ] || { echo "skipped: no $model (make smollm2 fetches it)"; exit 77; }

# 30 layers of dim 576, ffn 1536, 3 of 9 heads for keys and values; 49,152 tokens, the head tied.
# A layer: q and o 576*576, k and v 192*576, three of 1536*576, two norms of 576.
expect 0 "$DITHER" inspect "$model"
prints '^general.architecture  *llama$'
prints '^llama.block_count  *30$'
prints '^llama.rope.freq_base  *100000$'
prints '^tokenizer.ggml.tokens  *49,152 x string$'
prints '^tokenizer.ggml.merges  *48,900 x string$'
prints '^tokenizer.chat_template  *{% for message in messages %}'
prints '^model  *layers=30,heads=9,kv_heads=3,head_dim=64,dim=576,ffn=1536,ctx=8192,vocab=49152$'
prints '^head  *tied'
prints '^parameters  *134,515,008$'
prints '^embedding .* 1 tensor  .*28,311,552 values'
prints '^attention .*120 tensors .*26,542,080 values'
prints '^mlp .*90 tensors .*79,626,240 values'
prints '^norm .*61 tensors .*35,136 values'
prints '^all .*272 tensors .*134,515,008 values'
prints '^embedding *token_embd.weight *Q8_0 *49152 x 576'
prints '^mlp *blk.29.ffn_down.weight *Q4_1 *576 x 1536'
for type in 'Q4_1 210' 'Q8_0 1' 'F32 61'; do
    [ "$(grep -c " ${type% *}  *[0-9]* x [0-9]* " out)" = "${type#* }" ] || fail "not ${type#* } tensors of ${type% *}"
done
# Blocks of 32: 20 bytes of Q4_1, 34 of Q8_0; F32 norms.
bytes=$(((26542080 + 79626240) / 32 * 20 + 28311552 / 32 * 34 + 35136 * 4))
expect 0 "$DITHER" inspect "$model" --json
is_json_lines out
prints "\"values\":134515008,\"bytes\":$bytes,"
prints '"llama.attention.head_count_kv":3,'
