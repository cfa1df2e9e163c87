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
expect 0 "$DITHER" eval --model m --data text.txt --scheme paper-int8
expect 2 "$DITHER" eval --model m --data text.txt --seq 17
says_in_one_line '16'
printf x >one
expect 1 "$DITHER" eval --model m --data one
says_in_one_line .
