#!/bin/sh
# `dither plan`: a table and a line that runs as it stands; the memory of `train --dry-run`; the same figures every time.
. "$(dirname "$0")/checks.inc"
write_text text.txt 300

plan()
{
    "$DITHER" plan --new "$tiny" --data text.txt --threads 1 "$@"
}

dither()
{
    "$DITHER" "$@"
}

# row SCHEME: the object of a scheme; of NAME: a field of what is piped in
row()
{
    sed 's/{"scheme":/\n&/g' out | grep "^{\"scheme\":\"$1\",\"fits\""
}

of()
{
    sed "s/.*\"$1\"://;s/[,}].*//"
}

command_line()
{
    sed 's/.*"command":"//;s/","why":.*//' out
}

# The figures that are not times, and not what happens to be resident.
figures()
{
    grep -o '"\(s2\|q2\|noise\|batch_factor\|bit_factor\|bias\)":{[^}]*}\|"\(batch\|accumulate\|sgd_lr\)":[^,]*' out
}

# ---- the table, and the line ---------------------------------------------------------------------------------

expect 0 plan --schemes paper-int8,paper-int4 --steps 7
prints '^gradient  *|g| '
prints '^sampling  *s2 .*16 sequences'
prints '^f32  *0  *1  *1  *0  *8 '
prints '^paper-int8  *0\.0'
prints '^paper-int4  *0\.'
prints '^act=bf16 quantizes the forward pass.* (paper-int8; paper-int4)$'
prints '^The weights are random'
prints '^advice  *[A-Zp].* for 7 steps'
line=$(sed -n 's/^run  *//p' out)
[ -n "$line" ] || fail 'no line to run'
[ ! -s err ] || fail 'it writes to standard error'
[ "$(ls)" = "$(printf 'err\nout\ntext.txt')" ] || fail "it leaves files behind: $(ls)"
eval "$line --stop-at 3" >run.out 2>run.err || { cat run.out run.err >&2; fail "the line does not run: $line"; }
grep -q 'stopped .*step 3 of 7' run.out || fail 'the line is not of seven steps'
[ -f trained/model.safetensors ] || fail 'the line does not train'
# The next line is of a folder that is not there.
expect 0 plan --schemes bf16 --json
case $(command_line) in
*' --out trained-2') ;;
*) fail "the folder that is there is written again: $(command_line)" ;;
esac
expect 0 "$DITHER" plan --model trained --data text.txt --threads 1 --schemes paper-int8 --seq 8 --batch 3 --lr 0.5 \
    --out 'a folder'
prints "^run  *dither train --model trained --data text.txt --scheme [a-z0-9-]* --batch 3 --seq 8 --steps 1000 --lr 0.5 --threads 1 --out 'a folder'\$"
grep -q 'random' out && fail 'it says that trained weights are random'

# ---- memory --------------------------------------------------------------------------------------------------

expect 0 plan --schemes paper-int8,int8,act=int4/row --batch 300 --json
is_json_lines out
cp out whole
for scheme in f32 paper-int8 int8,act=int4/row; do
    cp whole out
    row "$scheme" >one
    batch=$(of batch <one)
    [ $((batch * $(of accumulate <one))) -ge 300 ] || fail "$scheme has a batch below that of f32"
    expect 0 "$DITHER" train --new "$tiny" --data text.txt --threads 1 --scheme "$scheme" --batch "$batch" --dry-run --json
    head -n 1 out | sed 's/.*"predicted_bytes": *//;s/[,}].*//' >dry
    # What is laid out is the same (tests/unit/test_advice.c); what of the program is resident is not, quite.
    awk -v a="$(of memory_bytes <one)" -v b="$(cat dry)" 'BEGIN { exit !(a > 0.95 * b && a < 1.05 * b) }' ||
        fail "$scheme: memory $(of memory_bytes <one), of a dry run $(cat dry)"
done
cp whole out
bytes=$(row f32 | of memory_bytes)
smaller=$((bytes - 1500000))
expect 0 plan --schemes paper-int8 --batch 300 --memory $smaller --json
[ "$(row f32 | of accumulate)" -gt 1 ] || fail 'the batch does not fit, and no micro-batches are taken'
[ "$(row f32 | of memory_bytes)" -le $smaller ] || fail 'more memory than was allowed'
eval "$(command_line) --dry-run" >run.out 2>run.err || { cat run.err >&2; fail 'the line does not fit its own memory'; }
expect 1 plan --memory 100K --schemes paper-int8
prints 'even one sequence takes more memory'
prints '^advice  *None of these runs can be advised'
grep -q '^run' out && fail 'a line where nothing fits'

# ---- hours ---------------------------------------------------------------------------------------------------

expect 0 plan --schemes paper-int8 --hours 0.01 --json
steps=$(sed 's/.*"advice"://;s/.*--steps \([0-9]*\) .*/\1/' out)
awk -v steps="$steps" -v s="$(row "$(sed 's/.*"advice":{"scheme":"//;s/".*//' out)" | of step_s)" \
    'BEGIN { exit !(steps * s <= 36 && (steps + 1) * s > 35.99) }' || fail "$steps steps are not those of 0.01 hours"

# ---- the same every time -------------------------------------------------------------------------------------

expect 0 plan --schemes paper-int4,int8 --json
figures >first
[ "$(wc -l <first)" -ge 19 ] || { cat first >&2; fail 'figures are missing'; }
expect 0 "$DITHER" plan --new "$tiny" --data text.txt --threads 2 --schemes paper-int4 int8 --json
figures >second
cmp -s first second || { diff first second >&2; fail 'two threads give other figures'; }
expect 0 plan --schemes paper-int4,int8 --json --seed 2
figures >second
cmp -s first second && fail 'another seed gives the same figures'

# ---- Ctrl-C, and mistakes ------------------------------------------------------------------------------------

"$DITHER" plan --new "$tiny" --data text.txt --precision 0 --samples 4000 --seq 2 >run.out 2>run.err &
process=$!
tries=0
until grep -q 'stopping' run.err; do # it may not have come so far that it would notice
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { kill -9 $process; fail 'it does not say that it stops'; }
    kill -INT $process 2>/dev/null
    sleep 0.1
done
code=0
wait $process || code=$?
[ $code = 130 ] || fail "exit code $code after SIGINT where 130 is right"
[ ! -s run.out ] || fail 'a plan that was not finished is printed'

expect 2 plan --model trained
says 'not from both'
expect 2 "$DITHER" plan --data text.txt
says_in_one_line '--new'
expect 2 "$DITHER" plan --new "$tiny"
says_in_one_line '--data: it is missing'
expect 1 "$DITHER" plan --model nowhere --data text.txt
says_in_one_line 'nowhere'
expect 1 "$DITHER" plan --new "$tiny" --data nowhere.txt
says_in_one_line 'nowhere.txt'
expect 2 plan --schemes paper-int8,int9
says_in_one_line 'int9'
expect 2 plan --schemes paper-in8
says_in_one_line 'did you mean paper-int8'
expect 2 plan --seq 17
says_in_one_line 'longer than the model'
expect 2 plan --hours 0
says 'above 0'
expect 2 plan --batch 0
says_in_one_line 'batch'
printf 'too short a text' >short.txt
expect 1 "$DITHER" plan --new "$tiny" --data short.txt
says_in_one_line 'few'
exit 0
