#!/bin/sh
# Training on records: answers alone are trained on, packing does not show, resuming is exact, options come back.
. "$(dirname "$0")/checks.inc"
shape="layers=1,heads=2,kv_heads=1,dim=16,ffn=32,ctx=192"

# write_chats FILE FIRST COUNT
write_chats()
{
    awk -v first="$2" -v count="$3" 'BEGIN {
        for (i = first; i < first + count; i++)
            printf "{\"question\":\"what is %d plus %d?\",\"answer\":\"it is %d\"}\n", i, i % 7, i + i % 7
    }' >"$1"
}
write_chats chats.jsonl 0 60
write_chats more.jsonl 100 20
run() { "$DITHER" train --new "$shape" --scheme f32 --threads 1 --lr 0.01 --chat-format zephyr "$@"; }

expect 0 run --data chats.jsonl --val more.jsonl --batch 2 --steps 40 --eval-every 20 --save-every 0 --out tuned
prints '^data        60 records of .* tokens, .* an epoch are trained on; 20 of .* held out, chats as zephyr$'
prints '^next        dither generate --model tuned --chat$'
is_json_lines tuned/log.jsonl
grep -q '"trained_tokens": [0-9]' tuned/log.jsonl || fail 'the log does not say how many tokens were trained on'
grep -q '"chat_format": "zephyr"' tuned/log.jsonl || fail 'the log does not say the format'
awk -F'"val_loss": ' '/"event": "end"/ { split($2, v, ","); exit !(v[1] > 0 && v[1] < 4) }' tuned/log.jsonl ||
    fail 'nothing was learned'

# The loss of the answers: the same for programs as at the end of training, whatever the packing.
loss_of() { sed 's/.*"nats_per_token":\([^,]*\),.*/\1/' out; }
expect 0 "$DITHER" eval --model tuned --data more.jsonl --chat-format zephyr --json --seq 192
is_json_lines out
prints '"bytes":[1-9]'
packed=$(loss_of)
end=$(sed -n 's/.*"event": "end".*"val_loss": \([^,]*\),.*/\1/p' tuned/log.jsonl)
expect 0 "$DITHER" eval --model tuned --data more.jsonl --chat-format zephyr --json
alone=$(loss_of)
awk -v a="$packed" -v b="$alone" -v c="$end" 'BEGIN { exit !(a - b < 1e-5 && b - a < 1e-5 && a - c < 1e-5 && c - a < 1e-5) }' ||
    fail "the loss depends on packing: $packed packed, $alone alone, $end at the end of training"
for scheme in bf16 int8; do # attention on other kernels
    expect 0 "$DITHER" eval --model tuned --data more.jsonl --chat-format zephyr --json --seq 192 --scheme $scheme
    packed=$(loss_of)
    expect 0 "$DITHER" eval --model tuned --data more.jsonl --chat-format zephyr --json --scheme $scheme
    awk -v a="$packed" -v b="$(loss_of)" 'BEGIN { exit !(a - b < 5e-4 && b - a < 5e-4) }' ||
        fail "$scheme: the loss depends on packing: $packed packed, $(loss_of) alone"
done
expect 0 "$DITHER" eval --model tuned --data more.jsonl --chat-format zephyr --train-on all --json
[ "$(loss_of)" != "$alone" ] || fail '--train-on does not change what is predicted'

# Stopped and resumed is uninterrupted; every option comes from the checkpoint.
long()
{
    run --data chats.jsonl:1.5 more.jsonl --batch 2 --accumulate 2 --steps 30 --eval-every 7 --eval-tokens 50 \
        --save-every 9 --long skip "$@"
}
expect 0 long --out whole
expect 0 long --out parts --stop-at 13
expect 0 "$DITHER" train --resume --out parts
cmp whole/model.safetensors parts/model.safetensors || fail 'stopped and resumed is not uninterrupted'
grep -v '"event": "start"\|"event": "end"\|"event": "notice"\|tokens_per_s\|checkpoint' whole/log.jsonl >whole.evals
grep -v '"event": "start"\|"event": "end"\|"event": "notice"\|tokens_per_s\|checkpoint' parts/log.jsonl >parts.evals
[ -s whole.evals ] || fail 'no evaluations in the log'
cmp whole.evals parts.evals || fail '--resume forgot how to evaluate'
grep '"event": "checkpoint"' whole/log.jsonl | grep -c '"step": \(9\|18\|27\|30\)' >saves
grep '"event": "checkpoint"' parts/log.jsonl | grep -c '"step": \(9\|18\|27\|30\)' | cmp - saves || fail '--resume forgot --save-every'
expect 2 "$DITHER" train --resume --out parts --chat-format chatml
says_in_one_line '--chat-format'
expect 2 "$DITHER" train --resume --out parts --long cut
says_in_one_line '--long'
expect 2 "$DITHER" train --resume --out parts --data chats.jsonl:2 more.jsonl
says_in_one_line 'the data are not those'

# A step's loss is the mean over its trained tokens: more micro-batches of the same samples make the same step.
expect 0 run --data chats.jsonl --steps 3 --batch 4 --out big
expect 0 run --data chats.jsonl --steps 3 --batch 1 --accumulate 4 --out small
losses() { sed -n 's/.*"event": "step".*"loss": \([^,]*\),.*/\1/p' "$1/log.jsonl" | tr '\n' ' '; }
echo "$(losses big) $(losses small)" | awk '{ for (i = 1; i <= 3; i++) if ($i - $(i + 3) > 2e-5 || $(i + 3) - $i > 2e-5) exit 1 }' ||
    fail "accumulating changes the loss: $(losses big), $(losses small)"

# What is not held out is said, and why; so are answers that are empty, which alone are refused.
head -n 2 chats.jsonl >two.jsonl
expect 0 run --data two.jsonl --dry-run
prints '^data  .*; none held out, chats as zephyr$'
prints '^note  *nothing is held out: --val-fraction 0.1 of them is less than one record; name records'
expect 0 run --data two.jsonl two.jsonl --dry-run
prints 'of each file is less than one record'
expect 0 run --data two.jsonl --val-fraction 0.5 --dry-run
prints '; 1 of [0-9]* held out,'
grep -q 'nothing is held out' out && fail 'a record is held out, and said to be none'
expect 0 run --data two.jsonl --val-fraction 0 --dry-run
grep -q 'nothing is held out' out && fail 'nothing is to be held out, and it is said'
expect 0 run --data two.jsonl --val more.jsonl --dry-run
grep -q 'nothing is held out' out && fail 'records are held out, and said to be none'
{ cat two.jsonl; echo '{"messages":[{"role":"user","content":"no answer"}]}'; } >last.jsonl
expect 0 run --data last.jsonl --val-fraction 0.4 --dry-run
prints 'nothing is held out: the last 1 records, by --val-fraction 0.4, have nothing to predict'
printf 'twenty bytes of text' >short.txt
expect 0 "$DITHER" train --new "$tiny" --data short.txt --val-fraction 0.01 --dry-run
prints '^data  *19 tokens to train on, none held out$'
prints '^note  *nothing is held out: --val-fraction 0.01 of the data is less than two tokens'
{ cat two.jsonl; echo '{"question":"q","answer":""}'; echo '{"question":"q","answer":" "}'; } >empty.jsonl
expect 0 run --data empty.jsonl --dry-run
prints '^note  *of 4 records, 2 have empty answers: of these the model learns only to end its turn$'
expect 0 run --data empty.jsonl --dry-run --train-on all
grep -q 'empty answers' out && fail 'where all is trained on, answers are not all there is'
tail -n 2 empty.jsonl >nothing.jsonl
expect 1 run --data nothing.jsonl --out none
says_in_one_line '^dither: nothing.jsonl: 2 of 2 records have an answer, and all of these are empty'

# Records and texts do not mix; bad lines end the run before anything is written.
write_text text.txt 50
expect 2 run --data chats.jsonl text.txt --out none
says_in_one_line 'cannot be mixed'
expect 2 run --data text.txt --out none
says_in_one_line '--chat-format'
echo '{"question":"q"}' >>chats.jsonl
expect 1 run --data chats.jsonl --out none
says_in_one_line '^dither: chats.jsonl:61: '
[ ! -e none ] || fail 'a refused run left a folder'
