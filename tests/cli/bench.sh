#!/bin/sh
# Every part of `dither bench` on small shapes: what it prints, that its numbers can be, and what it refuses.
. "$(dirname "$0")/checks.inc"
unset DITHER_CPU

# has_keys KEY...: the output is one JSON object on one line with these keys
has_keys()
{
    [ "$(wc -l <out)" = 1 ] || fail 'not one line'
    is_json_lines out
    for key in "$@"; do
        prints "[{,] *\"$key\":"
    done
}

# number KEY: the first number with this key
number()
{
    sed "s/.*[{,] *\"$1\": *//;s/[],}].*//" out
}

# above_zero KEY...
above_zero()
{
    for key in "$@"; do
        awk -v x="$(number "$key")" 'BEGIN { exit !(x > 0) }' || { cat out >&2; fail "$key is not above 0"; }
    done
}

expect 2 "$DITHER" bench gemm --types s8 --layout nt --m 1 --n 1 --k 200000
says 'do not fit 32 bits'
expect 0 "$DITHER" bench gemm --types s8 --layout nt --m 3 --n 5 --k 200000 --out f32 --verify --json

expect 0 "$DITHER" bench --help
for part in peak gemm quantize step; do
    prints "^  $part "
done
expect 2 "$DITHER" bench
says 'peak, gemm, quantize or step'
expect 2 "$DITHER" bench quantise
says "did you mean 'quantize'"
expect 2 "$DITHER" bench --json
says 'peak, gemm, quantize or step'

# ---- peak ----------------------------------------------------------------------------------------------------
expect 0 "$DITHER" bench peak --threads 2 --json
has_keys cpu threads s8 bf16 f32 isa gops_one gops read_gb_s_one read_gb_s copy_gb_s_one copy_gb_s
above_zero gops_one gops read_gb_s copy_gb_s
expect 0 env DITHER_CPU=ref "$DITHER" bench peak --threads 1
prints '^s8  *ref '
prints '^read '
expect 2 env DITHER_CPU=avx1024 "$DITHER" bench peak
says_in_one_line 'DITHER_CPU'
expect 2 "$DITHER" bench peak --threads 4096
says 'at most 1024'

# ---- gemm ----------------------------------------------------------------------------------------------------
for case in 's8 nt s32' 's8 nn f32' 's8 tn bf16' 'bf16 nn bf16' 'bf16 tn f32' 'f32 tn f32'; do
    # shellcheck disable=SC2086 # three words
    set -- $case
    expect 0 "$DITHER" bench gemm --types "$1" --layout "$2" --out "$3" --m 33 --n 65 --k 129 --threads 2 --verify --json
    has_keys types layout out m n k threads gops peak_gops fraction isa pack_s verified error
    above_zero gops peak_gops fraction
    [ "$(number verified)" = 2145 ] || fail "$case: not all elements were verified"
    [ "$1" = f32 ] || above_zero pack_s
    [ "$3" != s32 ] || [ "$(number error)" = 0 ] || fail 's32 is not exact'
done
expect 0 "$DITHER" bench gemm --types s8 --m 1 --n 1 --k 1 --verify
prints 'exact'
expect 0 env DITHER_CPU=ref "$DITHER" bench gemm --types bf16 --m 3 --n 5 --k 7 --verify --json
prints '"isa":"ref"'
expect 2 "$DITHER" bench gemm --types s8 --m 3 --n 5
says '--k: it is missing'
expect 2 "$DITHER" bench gemm --m 3 --n 5 --k 7
says '--types: it is missing'
expect 2 "$DITHER" bench gemm --types s16 --m 3 --n 5 --k 7
says 's8, bf16, f32'
expect 2 "$DITHER" bench gemm --types s32 --m 3 --n 5 --k 7
says 'one of s8, bf16, f32'
expect 2 "$DITHER" bench gemm --types s8 --layout tt --m 3 --n 5 --k 7
says 'nt, nn, tn'
expect 2 "$DITHER" bench gemm --types bf16 --out s32 --m 3 --n 5 --k 7
says_in_one_line 'bf16 products give f32 or bf16, not s32'
expect 2 "$DITHER" bench gemm --types f32 --out bf16 --m 3 --n 5 --k 7
says_in_one_line 'f32 products give f32'
expect 2 "$DITHER" bench gemm --types s8 --m 0 --n 5 --k 7
says 'at least 1'
expect 1 "$DITHER" bench gemm --types s8 --out f32 --m 200000000 --n 200000000 --k 200000000
says_in_one_line 'the machine has'

# ---- quantize ------------------------------------------------------------------------------------------------
expect 0 "$DITHER" bench quantize --spec int8/row:sr --rows 67 --cols 129 --threads 2 --json
has_keys spec element isa rows cols threads gelem_s gb_s read_gb_s fraction
above_zero gelem_s gb_s fraction
expect 0 "$DITHER" bench quantize --spec int8/row:sr --spec e2m1/g32e8m0:sr --rows 64 --cols 64 --json
prints '"spec":"int8/row:sr","element":"s8"'
prints '"spec":"e2m1/g32e8m0:sr","element":"bf16"'
expect 0 "$DITHER" bench quantize --spec int8/row --rows 1 --cols 1
prints 'Gelem/s'
expect 2 "$DITHER" bench quantize --rows 64 --cols 64
says '--spec: it is missing'
expect 2 "$DITHER" bench quantize --spec int8/row --cols 64
says '--rows: it is missing'
expect 2 "$DITHER" bench quantize --spec int9 --rows 64 --cols 64
says 'did you mean int8'
expect 2 "$DITHER" bench quantize --spec fx3:sr --rows 64 --cols 64
says_in_one_line 'no low-bit product'
expect 2 "$DITHER" bench quantize --spec int8/row int4/row int2/row --rows 64 --cols 64
says_in_one_line 'at most two'

# ---- step ----------------------------------------------------------------------------------------------------
small=layers=2,heads=2,dim=32,ffn=64,ctx=16
for scheme in paper-int8 f32; do
    expect 0 "$DITHER" bench step --new $small --batch 2 --seq 16 --scheme $scheme --steps 3 --threads 2 --json
    has_keys cpu model scheme parameters batch seq threads tokens_per_s step_s forward_s backward_s optimizer_s \
        peak_rss_bytes loss ops name calls seconds share gflops gb_s fraction
    above_zero tokens_per_s step_s forward_s backward_s optimizer_s peak_rss_bytes
    for name in adamw grad_norm other; do
        prints "\"name\":\"$name\""
    done
    # The loss of random tokens is that of a guess among 256.
    awk -v x="$(number loss)" 'BEGIN { exit !(x > 5 && x < 6.2) }' || fail "the loss is $(number loss)"
    # Shares of all operations are one, but for what the digits lose.
    grep -o '"share":[0-9.e-]*' out | sed 's/.*://' |
        awk '{ s += $1 } END { exit !(s > 0.99 && s < 1.01) }' || { cat out >&2; fail 'the shares are not one'; }
done
expect 0 "$DITHER" bench step --new $small,vocab=65 --batch 2 --seq 8 --steps 1
prints 'tokens/s'
prints '^operation  *ms/step'
prints '^other '
expect 2 "$DITHER" bench step --batch 2
says '--new: it is missing'
expect 2 "$DITHER" bench step --new smolm2-135m
says 'did you mean smollm2-135m?'
expect 2 "$DITHER" bench step --new $small --seq 17
says_in_one_line 'context of 16'
expect 2 "$DITHER" bench step --new $small --seq 16 --scheme in8
says 'int8'
expect 2 "$DITHER" bench step --new $small --seq 16 --batch 0
says 'at least 1'
expect 1 "$DITHER" bench step --new layers=100,heads=8,dim=65536,ctx=4096 --batch 65536 --seq 4096
says 'too much'

# ---- named shapes, and where a run's time went ---------------------------------------------------------------
write_text text.txt 60
expect 0 "$DITHER" train --new smollm2-135m --data text.txt --seq 64 --batch 1 --memory 1T --dry-run
prints '134,515,008 parameters: layers=30,heads=9,kv_heads=3,dim=576,ffn=1536,ctx=8192,vocab=49152'
expect 0 "$DITHER" train --new gpt2-124m,layers=1 --data text.txt --seq 64 --batch 1 --memory 1T --dry-run
prints 'layers=1,heads=12,kv_heads=12,dim=768,ffn=2048,ctx=1024,vocab=50257'
expect 0 train --steps 3 --profile --json --out m
grep '"event": "profile"' out >events || fail 'no event with the profile'
grep -q '"steps": 3, .*"forward_s": .*"ops": \[{"name": ' events || { cat events >&2; fail 'the profile says too little'; }
is_json_lines events
expect 0 train --steps 3 --profile --out m2
prints '^3 steps of '
prints '^adamw '
expect 0 train --steps 1 --out m3
! grep -q '^operation' out || fail 'a profile that nobody asked for'
expect 2 train --steps 3 --profile --dry-run
says_in_one_line '--profile'
