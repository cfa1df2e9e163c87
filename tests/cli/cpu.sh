#!/bin/sh
# What `dither cpu` says, and how DITHER_CPU lowers it.
. "$(dirname "$0")/checks.inc"
unset DITHER_CPU

expect 0 "$DITHER" cpu
prints '^cores  *[1-9]'
prints '^level  *[a-z0-9]*$'
expect 0 "$DITHER" cpu --json
is_json_lines out
prints '"level":'
expect 0 env DITHER_CPU=ref "$DITHER" cpu
prints '^level  *ref '
prints '^features  *none'
prints '^kernels  *s8 products: ref, bf16 products: ref, f32 products: blas, quantizers: ref, attention: ref, other passes: ref, GGUF blocks: ref$'
expect 2 env DITHER_CPU=avx1024 "$DITHER" cpu
says_in_one_line 'avx512'
