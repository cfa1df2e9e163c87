#!/bin/sh
# dither tokenize: ids, one line a file, and back.
. "$(dirname "$0")/checks.inc"
golden=$root/tests/golden

printf 'ab\n\377' >bytes
printf '' >empty
printf 'The tide came <|end|>, 14.\n' >tide
expect 0 "$DITHER" tokenize bytes empty
[ "$(cat out)" = '97 98 10 255
' ] || [ "$(head -n 1 out)" = '97 98 10 255' ] || fail 'bytes are their own ids'
[ "$(wc -l <out)" = 2 ] || fail 'one line a file'
"$DITHER" tokenize <bytes >out || fail 'standard input'
prints '^97 98 10 255$'
"$DITHER" tokenize bytes | "$DITHER" tokenize --decode | cmp - bytes || fail 'there and back'

for tokenizer in tokenizer_words.json tokenizer_digits.gguf tokenizer_pieces.json tokenizer_pieces.gguf; do
    for special in '' --special; do
        # shellcheck disable=SC2086 # no word, where there is none
        expect 0 "$DITHER" tokenize --tokenizer "$golden/$tokenizer" $special tide
        mv out ids
        "$DITHER" tokenize --tokenizer "$golden/$tokenizer" --decode ids | cmp - tide || fail "$tokenizer: there and back"
    done
done
expect 0 "$DITHER" tokenize --tokenizer "$golden/tokenizer_digits.gguf" --special tide
grep -qw 0 out || fail '--special finds <|end|>'
expect 0 "$DITHER" tokenize --tokenizer "$golden/tokenizer_digits.gguf" tide
grep -qw 0 out && fail 'without --special it is text'

expect 0 "$DITHER" tokenize --tokenizer "$golden/tokenizer_pieces.gguf" --json tide empty
is_json_lines out
prints '"file":"tide","bytes":27,"tokens":'
prints '"file":"empty","bytes":0,"tokens":0,"ids":\[\]'
printf '97 98\n99\n' >lines
expect 0 "$DITHER" tokenize --decode --json lines
is_json_lines out
prints '"line":2,"tokens":1,"text":"c"'

expect 1 "$DITHER" tokenize nowhere
says_in_one_line 'nowhere'
expect 1 "$DITHER" tokenize --tokenizer nowhere tide
says_in_one_line 'nowhere'
expect 1 "$DITHER" tokenize --tokenizer tide tide
says_in_one_line 'tide'
for wrong in 256 -1 x 1.5 99999999999999999999; do
    printf '97\n98 %s\n' "$wrong" >ids
    expect 1 "$DITHER" tokenize --decode ids
    says_in_one_line "ids:2: '$wrong' is no id"
done
expect 2 "$DITHER" tokenize --tokeniser x
says 'did you mean --tokenizer?'
if [ -w /dev/full ]; then
    "$DITHER" tokenize tide >/dev/full 2>err && fail 'a full disk under the output went unsaid'
    says_in_one_line 'standard output'
fi
exit 0
