#!/bin/sh
# Ours and theirs in turn, on an idle machine: what is printed are medians of alternating runs, and their ratio.
#
#     tools/peers/compare.sh gemm [ROUNDS]     products, against oneDNN (Debian: libdnnl-dev)
#     tools/peers/compare.sh step [ROUNDS]     training steps, against PyTorch (pip install torch==2.13.0)
#     tools/peers/compare.sh small [ROUNDS]    steps of a model so small that overhead shows
#
# DITHER   the program (build/dither)          THREADS  of both (all cores)
# PYTHON   (python3)                           TYPES    of the products ("s8 bf16")
# LEVEL    avx2, avxvnni: both held to it      MODELS   of the steps ("smollm2-135m")
# SIZES    of the steps ("4x256 8x512")        PAIRS    scheme:dtype ("int8:bf16 bf16:bf16 f32:f32"; small: all f32)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dither=${DITHER:-$here/../../build/dither}
python=${PYTHON:-python3}
threads=${THREADS:-$(nproc)}
rounds=${2:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS="$threads"

[ -x "$dither" ] || { echo "compare: no program at $dither; build it, or say DITHER=..." >&2; exit 2; }
case ${LEVEL:-} in
'') ;;
avx2) export DITHER_CPU=avx2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 ;;
avxvnni) export DITHER_CPU=avxvnni ONEDNN_MAX_CPU_ISA=AVX2_VNNI ATEN_CPU_CAPABILITY=avx2 ;;
*) echo "compare: LEVEL is avx2, avxvnni or nothing" >&2; exit 2 ;;
esac

# field KEY: its number, from one JSON object on standard input
field()
{
    sed -n "s/.*[{,] *\"$1\": *\([0-9.e+-]*\).*/\1/p"
}

# median FILE: of the numbers in it, one a line
median()
{
    sort -g "$1" | awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'
}

# take NAME KEY...: append the numbers of the object in $work/json to the files NAME.KEY
take()
{
    name=$1
    shift
    for key in "$@"; do
        field "$key" <"$work/json" >>"$work/$name.$key"
    done
}

ratio()
{
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

clear_runs()
{
    rm -f "$work"/ours.* "$work"/theirs.*
}

gemm()
{
    ${CXX:-c++} -O2 -o "$work/onednn_gemm" "$here/onednn_gemm.cpp" -ldnnl ||
        { echo "compare: oneDNN's headers are missing: apt-get install libdnnl-dev" >&2; exit 1; }
    printf '%-5s %-3s %20s %10s %10s %8s %7s\n' types lay 'm x n x k' 'GOP/s' oneDNN 'of peak' ratio
    for types in ${TYPES:-s8 bf16}; do
        for layout in nt nn tn; do
            for shape in '1024 3072 768' '1024 768 3072' '1024 1536 576' '1024 576 1536' '2048 49152 576'; do
                # shellcheck disable=SC2086 # three words
                set -- $shape
                out=f32
                [ "$types" != s8 ] || out=s32
                clear_runs
                for _ in $(seq "$rounds"); do
                    "$dither" bench gemm --types "$types" --layout $layout --m "$1" --n "$2" --k "$3" --out $out \
                        --threads "$threads" --json >"$work/json"
                    take ours gops fraction
                    "$work/onednn_gemm" "$types" $layout "$1" "$2" "$3" $out >"$work/json"
                    take theirs gops
                done
                ours=$(median "$work/ours.gops")
                theirs=$(median "$work/theirs.gops")
                percent=$(median "$work/ours.fraction" | awk '{ print 100 * $1 }')
                printf '%-5s %-3s %20s %10.1f %10.1f %7.0f%% %7s\n' "$types" $layout "$1 x $2 x $3" "$ours" "$theirs" \
                    "$percent" "$(ratio "$ours" "$theirs")"
            done
        done
    done
}

# step MODEL SIZE STEPS: every pair of PAIRS
step()
{
    batch=${2%x*}
    seq=${2#*x}
    for pair in ${PAIRS:-int8:bf16 bf16:bf16 f32:f32}; do
        clear_runs
        for _ in $(seq "$rounds"); do
            "$dither" bench step --new "$1" --batch "$batch" --seq "$seq" --scheme "${pair%:*}" --steps "$3" \
                --threads "$threads" --json >"$work/json"
            take ours tokens_per_s peak_rss_bytes
            "$python" "$here/torch_step.py" --new "$1" --batch "$batch" --seq "$seq" --dtype "${pair#*:}" \
                --steps "$3" --threads "$threads" >"$work/json"
            take theirs tokens_per_s peak_rss_bytes
        done
        ours=$(median "$work/ours.tokens_per_s")
        theirs=$(median "$work/theirs.tokens_per_s")
        printf '%-13s %-7s %-10s %-5s %10.1f %10.1f %7s %9s\n' "${1%%,*}" "$2" "${pair%:*}" "${pair#*:}" "$ours" \
            "$theirs" "$(ratio "$ours" "$theirs")" \
            "$(ratio "$(median "$work/ours.peak_rss_bytes")" "$(median "$work/theirs.peak_rss_bytes")")"
    done
}

step_heading()
{
    "$python" -c 'import torch; print("PyTorch", torch.__version__)' ||
        { echo "compare: PyTorch is missing: pip install torch==2.13.0" >&2; exit 1; }
    printf '%-13s %-7s %-10s %-5s %10s %10s %7s %9s\n' model size scheme dtype tokens/s PyTorch ratio memory
}

case ${1:-} in
gemm | step | small) ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
awk '$1 > 0.5 { print "compare: this machine is busy (load " $1 "); the ratios will mean little" }' /proc/loadavg >&2 || true
"$dither" cpu | sed -n 's/^model  *//p'
echo "$threads threads, $rounds rounds${LEVEL:+, held to $LEVEL}"
case $1 in
gemm) gemm ;;
step)
    step_heading
    for model in ${MODELS:-smollm2-135m}; do
        for size in ${SIZES:-4x256 8x512}; do
            step "$model" "$size" 3
        done
    done
    ;;
small)
    step_heading
    PAIRS=${PAIRS:-int8:f32 bf16:f32 f32:f32}
    step layers=4,heads=4,dim=128,vocab=65,ctx=64 12x64 100
    ;;
esac
