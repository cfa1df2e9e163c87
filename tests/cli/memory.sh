# The predicted peak against the measured one, on a small and a larger shape: within 5 %.
. "$(dirname "$0")/checks.inc"

if grep -q -e __asan_init -e __tsan_init "$DITHER"; then
    echo "skipped: a sanitizer's own memory is not in the plan"
    exit 77
fi

awk 'BEGIN { for (i = 0; i < 3000; i++) print "line " i ": the quick brown fox counts " (i * i) % 97 " sheep" }' >text

# number KEY FILE: the value of the first "KEY": number in the file
number()
{
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$2" | head -n 1
}

# within SHAPE BATCH SCHEME
within()
{
    rm -rf model
    expect 0 "$DITHER" train --new "$1" --data text --out model --batch "$2" --scheme "$3" --steps 2 --eval-every 0 \
        --val-fraction 0.01 --threads 2 --json
    predicted=$(number predicted_bytes out)
    disk=$(($(number model_bytes out) + $(number state_bytes out)))
    measured=$(number peak_rss_bytes out)
    awk "BEGIN { ratio = $measured / $predicted; exit !(ratio > 0.95 && ratio < 1.05) }" ||
        fail "$1, batch $2, $3: predicted $predicted bytes, measured $measured"
}

# The dry run says what the run then said, to some pages; and what lies on disk is what was announced, to a few per cent.
same_dry() # SHAPE BATCH SCHEME
{
    within "$@"
    written=$(cat model/model.safetensors model/state/checkpoint.safetensors | wc -c)
    awk "BEGIN { ratio = $written / $disk; exit !(ratio > 0.97 && ratio < 1.03) }" ||
        fail "$1: $disk bytes on disk were announced, $written are there"
    expect 0 "$DITHER" train --new "$1" --data text --batch "$2" --scheme "$3" --steps 2 --val-fraction 0.01 --threads 2 \
        --dry-run --json
    dry=$(number predicted_bytes out)
    awk "BEGIN { ratio = $dry / $predicted; exit !(ratio > 0.97 && ratio < 1.03) }" ||
        fail "$1: the dry run says $dry bytes, the run $predicted"
}

same_dry layers=2,heads=2,dim=64,ctx=64 8 paper-int8
within layers=4,heads=4,kv_heads=2,dim=256,ctx=128 8 f32
within layers=2,heads=8,dim=512,ctx=256 4 int8
