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
says_in_one_line 'DITHER_CPU: no such level as "avx1024".*the levels are .*ref, of which this machine has .*ref'
# Every command says so, and help can be had all the same.
for command in "generate --model x" "eval --model x --data x" "formats" "inspect x" "bench peak"; do
    # shellcheck disable=SC2086
    expect 2 env DITHER_CPU=nonsense "$DITHER" $command
    says_in_one_line 'DITHER_CPU: no such level as "nonsense"'
done
expect 0 env DITHER_CPU=nonsense "$DITHER" cpu --help

# A level of this architecture that the machine lacks: a note, and the best below it.
expect 0 "$DITHER" cpu
has=$(sed -n 's/^levels  *//p' out)
case $(uname -m) in
x86_64) all="amx avx512 avxvnni avx2 ref" ;;
aarch64) all="i8mm dotprod neon ref" ;;
*) all=ref ;;
esac
for level in $all; do
    expect 0 env DITHER_CPU=$level "$DITHER" cpu
    case " $has " in
    *" $level "*)
        [ ! -s err ] || fail "a note about $level, which is there"
        prints "^level  *$level"
        ;;
    *)
        says_in_one_line "note: DITHER_CPU=$level, but this machine has no $level; it computes with "
        prints "(DITHER_CPU=$level, which this machine lacks)"
        ;;
    esac
done
