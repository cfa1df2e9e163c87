#!/bin/sh
# dither tokenizer train: the same file for any number of threads, all of it or nothing, mistakes in words.
. "$(dirname "$0")/checks.inc"
write_text text.txt 400
mkdir texts
write_text texts/a 30
write_text texts/b 50

make() # OPTION...
{
    "$DITHER" tokenizer train --data text.txt --out tok.json --force "$@"
}

expect 0 make --vocab 300 --threads 1
prints '^data  *[0-9.]* kB in 1 file: 3,[0-9]* words, [0-9]* distinct$'
prints '^done  *300 tokens in '
prints '^saved in  *tok.json$'
prints '^next  *dither train .* --tokenizer tok.json$'
[ ! -s err ] || fail 'it writes to standard error'
is_json_file() { tr -d '\n' <"$1" >line && echo >>line && is_json_lines line; }
is_json_file tok.json
mv tok.json first
expect 0 make --vocab 300 --threads 3
cmp first tok.json || fail 'the number of threads changes the tokenizer'
[ "$(sed -n '/"merges"/,/]/p' tok.json | grep -c '"')" = $((300 - 257 + 1)) ] || fail 'the number of merges is wrong'
ls | grep -q '\.tmp$' && fail 'a temporary file is left'

# What is there stays, unless it is meant to go: a file, a link that leads nowhere, and no pipe in any case.
expect 2 "$DITHER" tokenizer train --data text.txt --out tok.json --vocab 280
says_in_one_line '--out: tok.json is there already; --force replaces it'
cmp first tok.json || fail 'a refused run changed the file'
ln -s nowhere link
expect 2 "$DITHER" tokenizer train --data text.txt --out link --vocab 280
says_in_one_line 'link is there already'
[ ! -e nowhere ] || fail 'it wrote through a link'
mkfifo pipe
expect 2 "$DITHER" tokenizer train --data text.txt --out pipe --vocab 280 --force
says_in_one_line 'pipe is no regular file'
expect 0 "$DITHER" tokenizer train --data text.txt --out absent.json --vocab 280

# The vocabulary that a text can give, and the pairs that are frequent enough.
expect 0 make
prints '^note  *fewer than 8,192: no pair occurs 2 times any more'
expect 0 make --min-frequency 1000000
prints '^done  *257 tokens '
expect 0 make --special= --vocab 256
grep -q '"added_tokens": \[\]' tok.json || fail 'there are special tokens'
expect 0 make --special '<|a|>,<b "c" \d>' --vocab 300 --pattern llama3
is_json_file tok.json
grep -q '"<b \\"c\\" \\\\d>": 1,' tok.json || fail 'a special token is not there'
expect 0 "$DITHER" tokenizer train --data texts text.txt --vocab 300 --out two.json
prints ' in 3 files: '

expect 0 make --vocab 300 --json
is_json_lines out
prints '"event":"progress","phase":"reading"'
prints '"event":"progress","phase":"merging".*"eta_s":'
prints '^{"event":"end","out":"tok.json","tokens":300,"files":1,"bytes":[0-9]*,"words":[0-9]*,"distinct_words":[0-9]*,"text_tokens":[0-9]*,"peak_rss_bytes":[0-9]*,"seconds":[0-9.e-]*}$'
[ "$(grep -c '"event":"end"' out)" = 1 ] || fail 'not one end'

# ---- mistakes -----------------------------------------------------------------------------------------------
before=$(hash_of tok.json)
expect 2 "$DITHER" tokenizer
says 'say what to do: train'
expect 2 "$DITHER" tokenizer trian
says "say what to do: train; did you mean 'train'"
expect 2 "$DITHER" tokenizer train --out x.json
says_in_one_line '--data: it is missing'
expect 2 "$DITHER" tokenizer train --data text.txt
says_in_one_line '--out: it is missing'
expect 2 make --vocab 256
says_in_one_line '--vocab: 256 is out of range; 257 '
expect 2 make --vocab 99999999
says_in_one_line '--vocab: 99999999 is out of range'
expect 2 make --pattern lama3
says "did you mean 'llama3'"
expect 2 make --min-frequency 0
says '--min-frequency: 0 is out of range'
expect 2 make --special 'a'
says_in_one_line "--special: 'a' would be an ordinary token"
expect 2 make --special '<a>,'
says_in_one_line '--special: token 2 has 0 bytes'
expect 2 make --special '<a>,<a>'
says_in_one_line "--special: '<a>' is there twice"
expect 2 make --special "$(printf 'Ġthe')"
says_in_one_line "would be an ordinary token"
expect 2 make --special "$(printf '<\377>')"
says_in_one_line '--special: token 1 is not UTF-8'
expect 2 "$DITHER" tokenizer train --data text.txt --out texts
says_in_one_line 'is a folder; name a file'
expect 2 "$DITHER" tokenizer train --data texts --out texts/a
says_in_one_line 'one of the texts'
expect 1 "$DITHER" tokenizer train --data text.txt --out none/tok.json
says_in_one_line 'none/tok.json'
expect 1 "$DITHER" tokenizer train --force --data none --out tok.json
says_in_one_line 'none'
printf 'good line\nbad \344 line\n' >latin
expect 1 "$DITHER" tokenizer train --force --data latin --out tok.json
says_in_one_line 'latin:2: not UTF-8 at byte 14 (0xe4).*iconv'
: >empty
expect 1 "$DITHER" tokenizer train --force --data empty --out tok.json
says_in_one_line 'empty'
[ "$(hash_of tok.json)" = "$before" ] || fail 'a run that failed changed the file'

# ---- Ctrl-C: the old file stays, and nothing else is left ------------------------------------------------------
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
    cat text.txt text.txt >more && mv more text.txt
done
for pair in INT:130 TERM:143; do
    "$DITHER" tokenizer train --data text.txt --out tok.json --force --threads 1 --json >run.out 2>run.err &
    process=$!
    tries=0
    until [ -s run.out ]; do
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || { kill -9 $process; fail 'no progress within twenty seconds'; }
        sleep 0.02
    done
    kill -"${pair%:*}" $process
    code=0
    wait $process || code=$?
    cp run.err err
    [ $code = "${pair#*:}" ] || fail "exit code $code after SIG${pair%:*} where ${pair#*:} is right"
    says 'stopping, nothing is written'
    [ "$(hash_of tok.json)" = "$before" ] || fail 'a stopped run changed the file'
    ls | grep -q '\.tmp$' && fail 'a stopped run left a temporary file'
done
exit 0
