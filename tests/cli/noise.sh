#!/bin/sh
# dither noise: tables and JSON; f32 has no error at all; threads do not show; records; mistakes; Ctrl-C.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120
expect 0 train --out m --steps 10

expect 0 "$DITHER" noise --model m --data text.txt --scheme paper-int4 --batch 1,4 --threads 1
prints '^scheme     act=bf16,weight=int8/row,bact=int4/row:sr'
prints '^batch  tokens '
prints '^    1      16 '
prints '^    4      64 '
for row in act weight bact bweight goact goweight embedding 'layer 0' output s2 q2 floor "b'/b"; do
    prints "^$row "
done
prints '^act=bf16 quantizes the forward pass: a bias'
mv out table

expect 0 "$DITHER" noise --model m --data text.txt --scheme paper-int4 --batch 1,4 --threads 1 --json
is_json_lines out
[ "$(wc -l <out)" = 1 ] || fail 'JSON of more than one line'
for key in scheme seq micro_batch samples batches sequences tokens trained loss gradient norm2 parts part draws random \
    clip_rate places place bias2 variance error2 relative_error cosine per_sample s2 q2 batch_factor caveats; do
    prints "\"$key\":"
done
mv out first
expect 0 "$DITHER" noise --model m --data text.txt --scheme paper-int4 --batch 1,4 --threads 3 --json
cmp first out || fail 'the number of threads changes the figures'
expect 0 "$DITHER" noise --model m --data text.txt --scheme paper-int4 --batch 1,4 --threads 1 --json --seed 2
cmp -s first out && fail 'another seed gives the same figures'
expect 0 "$DITHER" noise --model m --data text.txt --scheme paper-int4 --batch 1,4 --threads 1 --whole
grep '^    [14]  ' out >whole
grep '^    [14]  ' table | cmp - whole || fail 'the figures of the scheme depend on whether roles are measured'
grep -q '^goact' out && fail '--whole measures roles'

# Nothing is quantized: every figure of an error is 0, exactly.
expect 0 "$DITHER" noise --model m --data text.txt --scheme f32 --batch 1,2 --threads 1 --json
prints '"caveats":\[\]'
for figure in bias2 variance error2 relative_error; do
    prints "\"$figure\":{\"value\":0,\"low\":0,\"high\":0}"
    grep -o "\"$figure\":{\"value\":[^,]*" out | grep -v ':0$' && fail "f32 has a $figure"
done
expect 0 "$DITHER" noise --model m --data text.txt --scheme int4,goact=int4/row --batch 2 --seeds 4 --threads 1
prints '^goact=int4/row rounds to nearest in the backward pass'
prints '^weight=int4/t32 is the same for the whole batch'

# Records: the answers' tokens are the batch's.
for i in 1 2 3 4 5 6 7 8 9; do
    echo "{\"question\": \"$i?\", \"answer\": \"it is $i of nine\"}"
done >chats.jsonl
expect 0 "$DITHER" train --new layers=1,heads=2,dim=16,ctx=96 --data text.txt --batch 2 --steps 2 --threads 1 --out wide
expect 0 "$DITHER" noise --model wide --data chats.jsonl --chat-format chatml --batch 1,2 --seeds 4 --threads 1 --whole \
    --json
prints '"sequences":1,"tokens":96,"trained":[1-9][0-9],'
expect 1 "$DITHER" noise --model wide --data chats.jsonl --chat-format chatml --batch 64
says_in_one_line 'but 64 are wanted'

expect 2 "$DITHER" noise --data text.txt
says_in_one_line '--model: it is missing'
expect 2 "$DITHER" noise --model m
says_in_one_line '--data: it is missing'
for list in '' 1,x 4,2 2,2 0 1,,2 -1; do
    expect 2 "$DITHER" noise --model m --data text.txt --batch "$list"
    says_in_one_line '--batch'
done
expect 2 "$DITHER" noise --model m --data text.txt --seeds 3
says_in_one_line '--seeds'
expect 2 "$DITHER" noise --model m --data text.txt --seq 17
says_in_one_line '16'
expect 2 "$DITHER" noise --model m --data text.txt --precision 2
says_in_one_line '--precision'
expect 2 "$DITHER" noise --model m --data text.txt --scheme int9
says_in_one_line 'int8'
expect 1 "$DITHER" noise --model nowhere --data text.txt
says_in_one_line nowhere
head -c 100 text.txt >short.txt
expect 1 "$DITHER" noise --model m --data short.txt --batch 8
says_in_one_line 'sequences of 16 tokens, but 8 are wanted'
head -c 20 text.txt >shorter.txt
expect 1 "$DITHER" noise --model m --data shorter.txt --batch 8
says_in_one_line 'the data are 1 sequence of 16 tokens, but 8 are wanted'
expect 1 "$DITHER" noise --model m --data text.txt --memory 1M
says_in_one_line 'three gradients'

"$DITHER" noise --model m --data text.txt --seeds 60000 --precision 0 --threads 1 >out 2>err &
process=$!
catches $process
kill -INT $process
code=0
wait $process || code=$?
[ $code = 130 ] || fail "exit code $code after SIGINT where 130 is right"
says 'stopping'
[ ! -s out ] || fail 'it prints half of its results'
