#!/bin/sh
# --help of every command: options, three examples; the man page has the same options, no more and no fewer.
. "$(dirname "$0")/checks.inc"
page=$root/docs/dither.1

expect 0 "$DITHER" --version
prints '^dither [0-9]*\.[0-9]*\.[0-9]*$'
grep -q "^\.TH .*\"$(cat out)\"" "$page" || fail 'the man page is of another version'
expect 0 "$DITHER" --help
[ "$(grep -c '^  dither ' out)" -ge 3 ] || fail 'fewer than three examples in the general help'
mv out general
expect 0 "$DITHER" help
cmp out general || fail 'dither help is not dither --help'
expect 0 "$DITHER" version
prints '^dither '

for command in train generate eval data convert inspect tokenize 'tokenizer train' formats cpu noise plan selftest \
    'study mnist' 'study scaling' 'bench peak' 'bench gemm' 'bench quantize' 'bench step'; do
    # shellcheck disable=SC2086
    expect 0 "$DITHER" help $command
    mv out from_help
    # shellcheck disable=SC2086
    expect 0 "$DITHER" $command -h
    cmp out from_help || fail "dither help $command is not dither $command -h"
    expect 0 "$DITHER" --help
    prints "^  ${command%% *} "
    # shellcheck disable=SC2086 # two words, where there are two
    expect 0 "$DITHER" $command --help
    prints "^Usage: dither $command"
    [ ! -s err ] || fail "$command --help writes to standard error"
    [ "$(sed -n '/^Examples:/,$p' out | grep -c 'dither '"$command")" -ge 3 ] || fail "fewer than three examples: $command"
    awk 'length > 120 { exit 1 }' out || fail "$command --help has a line of more than 120 characters"
    grep -o '^  --[a-z0-9-]*' out | tr -d ' ' | grep -vx -e --help | sort >from_help
    # The options of a section of the page: the tags of its paragraphs.
    sed -n "/^\.SS dither $command\$/,/^\.S[SH] /p" "$page" | sed -n '/^\.TP/{n;p;}' | sed 's/\\-/-/g' |
        grep -o -e '^\.BI\{0,1\} --[a-z0-9-]*' | sed 's/.* //' | sort >from_page
    diff from_help from_page >&2 || fail "$command: --help (<) and the man page (>) differ"
done
expect 0 "$DITHER" train --help
for preset in $("$DITHER" formats --schemes | awk '{ print $1 }'); do
    prints "Presets:.* $preset"
    sed 's/\\-/-/g' "$page" | grep -q "^\.B $preset$" || fail "the man page leaves out the preset $preset"
done

for format in $("$DITHER" data --help | sed -n '/Chat formats:/,/^  `/p' | sed 's/.*formats://;/`/d'); do
    sed 's/\\-/-/g' "$page" | grep -q "^\.B $format$" || fail "the man page leaves out the chat format $format"
done

if command -v groff >/dev/null && [ -r /usr/share/groff/current/tmac/an.tmac ]; then
    groff -man -Tascii -ww "$page" >rendered 2>warnings || fail 'groff refuses the man page'
    [ ! -s warnings ] || { cat warnings >&2; fail 'groff warns about the man page'; }
fi
