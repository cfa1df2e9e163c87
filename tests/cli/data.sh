#!/bin/sh
# dither data: records as they are read, what of them is trained on, lengths, what is cut.
. "$(dirname "$0")/checks.inc"

cat >chats.jsonl <<'END'
{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}
{"question":"2 + 2?","answer":"4"}
{"text":"just words"}

END
expect 0 "$DITHER" data chats.jsonl --chat-format zephyr --seq 64
cat >wanted <<'END'
--- chats.jsonl:1, 40 tokens
<|user|>
hi</s>
<|assistant|>
[[hello</s>]]


--- chats.jsonl:2, 40 tokens
<|user|>
2 + 2?</s>
<|assistant|>
[[4</s>]]


--- chats.jsonl:3, 10 tokens
[[just words]]

END
head -n 17 out | diff - wanted >&2 || fail 'the examples are not what is wanted'
prints "^records  *3$"
prints '^chat format zephyr'
prints '^tokens  *90, 30.0 a record, 10 to 40$'
prints '^trained  *24, 26.7 % of them$'
prints '^        33 .. 64 *2  ####'
prints '^cut  *0 of more than 65 tokens$'
prints '^sequences  *2 an epoch, 18.0 % of their tokens trained on, 32.0 % padding$'

# What is cut before its answer has nothing to train on.
expect 0 "$DITHER" data chats.jsonl --chat-format zephyr --seq 32 --examples 0
prints '^cut  *2 of more than 33 tokens$'
prints '^left out  *1 with'
expect 0 "$DITHER" data chats.jsonl --chat-format zephyr --seq 32 --examples 0 --long skip
prints '^skipped  *2 of'
expect 0 "$DITHER" data chats.jsonl --chat-format zephyr --seq 32 --examples 1 --train-on all
prints '^\[\[<|user|>$'

expect 0 "$DITHER" data chats.jsonl --chat-format chatml --json
is_json_lines out
prints '"pieces":\[{"trained":false,"tokens":52,"text":"<|im_start|>user\\nhi<|im_end|>\\n<|im_start|>assistant\\n"},{"trained":true,"tokens":15,"text":"hello<|im_end|>"}'
prints '"records":3,"chat_format":"chatml"'

# Several files with weights, an array, other fields.
echo '[{"query":"q","reply":"r"}, {"query":"q","reply":"s"}]' >faq.json
expect 0 "$DITHER" data faq.json:3 faq.json --fields query,reply --chat-format plain --seq 2
prints '^sequences  *4 an epoch'
expect 1 "$DITHER" data faq.json
says_in_one_line '^dither: faq.json:1: none of messages; .* but query, reply; name what is meant with --fields$'


# Files, weights, and what each is of the training: 2 x 24 trained tokens of the first, 5 of the second.
echo '{"question":"q","answer":"a"}' >one.jsonl
expect 0 "$DITHER" data chats.jsonl:2 one.jsonl --chat-format zephyr --seq 64
prints '^weight     records    an epoch    share  file$'
prints '^     2           3           6   90.6 %  chats.jsonl$'
prints '^     1           1           1    9.4 %  one.jsonl$'
expect 0 "$DITHER" data chats.jsonl:2 one.jsonl --chat-format zephyr --json
is_json_lines out
prints '"files":\[{"file":"chats.jsonl","weight":2,"records":3,"records_an_epoch":6,"tokens":90,"trained":24,"share":0.9056'
expect 0 "$DITHER" data one.jsonl:0.5 --chat-format zephyr
prints '^   0.5           1           1  100.0 %  one.jsonl$'
expect 0 "$DITHER" data one.jsonl --chat-format zephyr
grep -q '^weight' out && fail 'one file without a weight needs no table'

# Numbers stand under each other, with commas; control characters are shown, not sent.
awk 'BEGIN { for (i = 0; i < 1234; i++) print "{\"text\":\"line\"}" }' >many.jsonl
expect 0 "$DITHER" data many.jsonl --examples 0
prints '^records             1,234$'
prints '^tokens              4,936, 4.0 a record, 4 to 4$'
prints '^         3 .. 4                1,234  ########################################$'
printf '{"text":"tab\\tred\\u001b[31m\\r\\u0085\\u007f\303\251"}\n' >control.jsonl
expect 0 "$DITHER" data control.jsonl
printf '[[tab\tred\\x1b[31m\\r\\xc2\\x85\\x7f\303\251]]\n' >wanted
sed -n 2p out | cmp - wanted || fail 'a text with control characters is shown otherwise'
tr -d '\t\n' <out | grep -q '[[:cntrl:]]' && fail 'control characters reach a terminal'
echo '{"question":"q","answer":""}' >>one.jsonl
expect 0 "$DITHER" data one.jsonl --chat-format zephyr
prints '^unanswered              1 with empty answers'
prints '^no tokens   </s>: ordinary text to the model$'

expect 1 "$DITHER" data chats.jsonl
says_in_one_line 'there is no chat template; name one with --chat-format: chatml, smollm2, '
expect 2 "$DITHER" data chats.jsonl --chat-format zefyr
says_in_one_line 'did you mean zephyr'
expect 2 "$DITHER" data
says_in_one_line 'FILE'
echo text >text.txt
expect 2 "$DITHER" data text.txt
says_in_one_line 'a text, by its name'
expect 1 "$DITHER" data missing.txt
says_in_one_line 'missing.txt: cannot open: No such file or directory'
expect 2 "$DITHER" data chats.jsonl:0 --chat-format zephyr
says_in_one_line 'weight'
expect 1 "$DITHER" data missing.jsonl
says_in_one_line 'missing.jsonl'
echo '{"messages":[{"role":"user","content":"hi"}]}' >unanswered.jsonl
expect 1 "$DITHER" data unanswered.jsonl --chat-format zephyr
says_in_one_line 'none of 1 records has an answer to train on'
{ cat chats.jsonl; echo '{"text": oops}'; } >bad.jsonl
expect 1 "$DITHER" data bad.jsonl --chat-format zephyr
says_in_one_line '^dither: bad.jsonl:5: not JSON'
