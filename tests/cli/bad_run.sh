#!/bin/sh
# Runs that cannot be: shapes, rates, schemes, too little memory, folders that cannot be written.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60

refused() # CODE WORDS OPTIONS...
{
    code=$1
    words=$2
    shift 2
    expect "$code" "$DITHER" train --data text.txt --threads 1 --out never "$@"
    says_in_one_line "$words"
    [ ! -e never ] || fail "the refused run $* left a folder"
}

refused 2 'heads' --new layers=1,heads=3,dim=16,ctx=16
refused 2 'heads' --new layers=1,heads=4,kv_heads=3,dim=16,ctx=16
refused 2 'even' --new layers=1,heads=2,head_dim=7,dim=14,ctx=16
refused 2 'layers' --new layers=0,heads=2,dim=16,ctx=16
refused 2 'layer' --new layer=1,heads=2,dim=16,ctx=16
refused 2 'dim' --new layers=1,heads=2,ctx=16
refused 2 . --new ''
refused 2 . --new layers=1,layers=1,heads=2,dim=16,ctx=16
refused 2 . --new layers=-1,heads=2,dim=16,ctx=16
refused 2 . --new layers=99999999999,heads=99999999,dim=99999999998,ctx=16
refused 2 '--lr' --new "$tiny" --lr 0
refused 2 '--min-lr' --new "$tiny" --min-lr 1
refused 2 '--steps' --new "$tiny" --steps 0
refused 2 '--batch' --new "$tiny" --batch 0
refused 2 '--beta2' --new "$tiny" --beta2 1
refused 2 '--val-fraction' --new "$tiny" --val-fraction 1
refused 2 '--warmup' --new "$tiny" --warmup 11 --steps 10
refused 2 'int8' --new "$tiny" --scheme int9
refused 2 'st' --new "$tiny" --scheme act=e4m3/row:st
refused 2 'a scheme gives one to each role' --new "$tiny" --scheme int8/row:sr
refused 2 'weight' --new "$tiny" --scheme wieght=int8
expect 2 "$DITHER" train --new "$tiny" --data text.txt --out never --lr nan
says '--lr'
got=0
"$DITHER" train --new "$tiny" --data text.txt --threads 1 --out never --seq 17 >out 2>err || got=$?
[ $got = 1 ] || [ $got = 2 ] || fail "exit code $got for --seq above ctx"
says_in_one_line '16'
[ ! -e never ] || fail 'a refused run left a folder'

refused 1 'would fit\|fits\|--batch' --new layers=2,heads=2,dim=64,ctx=64 --batch 64 --memory 4M
refused 1 . --new layers=100,heads=64,dim=65536,ctx=64 --batch 1 --memory 64M

# What is advised fits: fewer sequences, or shorter ones.
wide() # OPTION...
{
    "$DITHER" train --new layers=2,heads=2,dim=64,ctx=512 --data text.txt --threads 1 --dry-run "$@"
}
expect 1 wide --batch 64 --memory 60M
says_in_one_line 'the run of 64 x 512 tokens at once would need .* and --memory allows 62.9 MB; --batch [0-9]* would fit'
batch=$(sed -n 's/.*; --batch \([0-9]*\) would.*/\1/p' err)
seq=$(sed -n 's/.* or --seq \([0-9]*\) with --batch 64.*/\1/p' err)
expect 0 wide --batch "$batch" --memory 60M
expect 1 wide --batch $((batch * 2)) --memory 60M
[ -z "$seq" ] || expect 0 wide --batch 64 --seq "$seq" --memory 60M
predicted() # OPTION...: bytes
{
    expect 0 wide --batch 1 --json "$@"
    sed -n 's/.*"predicted_bytes": \([0-9]*\).*/\1/p' out | head -n 1
}
least=$(predicted --seq 1)
most=$(predicted)
expect 1 wide --batch 1 --memory $(((least + most) / 2))
seq=$(sed -n 's/.*; --batch 1 --seq \([0-9]*\) would fit.*/\1/p' err)
[ -n "$seq" ] || { cat err >&2; fail 'no --seq is advised'; }
expect 0 wide --batch 1 --seq "$seq" --memory $(((least + most) / 2))

# Windows that no machine has memory for, where ctx alone says how long they are.
awk 'BEGIN { for (i = 0; i < 60000; i++) print "line " i " of many" }' >long.txt
expect 0 "$DITHER" train --new layers=1,heads=2,dim=16,ffn=131072,ctx=1048576 --data text.txt --seq 16 --batch 1 \
    --threads 1 --steps 1 --out far
expect 1 "$DITHER" eval --model far --data long.txt --threads 1
says_in_one_line 'windows of 1048576 tokens would need .* and the machine has .*; --seq 512 needs '
expect 0 "$DITHER" eval --model far --data text.txt --seq 64 --max-tokens 64 --threads 1

# More than the disk has: told before anything is written. (The weights would be some terabytes.)
expect 1 "$DITHER" train --new layers=4,heads=64,dim=65536,ctx=16,ffn=1000000 --data text.txt --batch 1 --threads 1 \
    --memory 900T --out never
says_in_one_line 'never: too little room on the file system: the run needs .* TB there .* is free'
[ ! -e never ] || fail 'a run without room left a folder'

# Folders that cannot be.
: >file
for out in file file/below /proc/never /dev/null; do
    expect 1 train --steps 2 --out $out
    says_in_one_line "${out%/below}"
done
mkdir other
printf precious >other/model.safetensors
expect 2 train --steps 2 --out other
[ "$(cat other/model.safetensors)" = precious ] || fail 'a model that is not ours was written over'

# A learning rate that blows up: the step is named, the last good checkpoint stays.
got=0
train --steps 200 --save-every 1 --lr 1e6 --clip 0 --optimizer sgd --scheme f32 --out blown >out 2>err || got=$?
if [ $got != 0 ]; then
    [ $got = 1 ] || fail "exit code $got for a run that blew up"
    says_in_one_line 'step [0-9]'
    expect 0 "$DITHER" inspect blown
fi
exit 0
