#!/bin/sh
# dither eval: every token but the first is predicted once, whatever the window; JSON for programs.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
expect 0 train --out m --steps 10
bytes=$(wc -c <text.txt | tr -d ' ')

for seq in 16 15 7 1; do
    expect 0 "$DITHER" eval --model m --data text.txt --seq $seq --json --threads 1
    is_json_lines out
    for key in nats_per_token perplexity bits_per_byte; do
        prints "\"$key\":[0-9]"
    done
    prints "\"tokens\":$((bytes - 1)),"
    prints "\"bytes\":$((bytes - 1))[,}]"
done
expect 0 "$DITHER" eval --model m --data text.txt --json --threads 1
mv out first
expect 0 "$DITHER" eval --model m --data text.txt --json --threads 3
cmp first out || fail 'the number of threads changes the loss'
expect 0 "$DITHER" eval --model m --data text.txt
prints '^nats per token '
prints '^memory '
expect 0 "$DITHER" eval --model m --data text.txt --scheme paper-int8

# The first predictions alone: those of a text that ends there.
expect 0 "$DITHER" eval --model m --data text.txt --seq 16 --max-tokens 70 --json --threads 1
prints '"tokens":70,"bytes":70}'
mv out first
head -c 71 text.txt >front.txt
expect 0 "$DITHER" eval --model m --data front.txt --seq 16 --json --threads 1
cmp first out || fail '--max-tokens is not the front of the text'
expect 0 "$DITHER" eval --model m --data front.txt --max-tokens 1000 --json --threads 1
prints '"tokens":70,'

# Logits: 128 bytes that say so, then the numbers.
expect 0 "$DITHER" eval --model m --data front.txt --seq 16 --logits logits.npy --threads 1
[ "$(wc -c <logits.npy)" -eq $((128 + 70 * 256 * 4)) ] || fail "logits.npy has $(wc -c <logits.npy) bytes"
head -c 128 logits.npy | tail -c 118 | grep -q "^{'descr': '<f4', 'fortran_order': False, 'shape': (70, 256), } *$" ||
    fail 'logits.npy says something else'
expect 1 "$DITHER" eval --model m --data front.txt --logits nowhere/logits.npy
says_in_one_line 'nowhere'
expect 2 "$DITHER" eval --model m --data text.txt --seq 17
says_in_one_line '16'
printf x >one
expect 1 "$DITHER" eval --model m --data one
says_in_one_line .

# What is said about records is not passed over where the data are texts, nor is a file of the other kind.
for option in "--chat-format chatml" "--fields a,b" "--train-on all" "--long skip"; do
    # shellcheck disable=SC2086
    expect 2 "$DITHER" eval --model m --data text.txt $option
    says_in_one_line "${option% *}: it is about records"
    # shellcheck disable=SC2086
    expect 2 "$DITHER" train --new "$tiny" --data text.txt --out never $option
    says_in_one_line "${option% *}: it is about records"
done
[ ! -e never ] || fail 'a refused run left a folder'
echo '{"text": "words"}' >words.jsonl
expect 2 "$DITHER" eval --model m --data text.txt words.jsonl
says_in_one_line 'words.jsonl: texts and records'
expect 2 "$DITHER" eval --model m --data words.jsonl text.txt
says_in_one_line 'text.txt: texts and records'
