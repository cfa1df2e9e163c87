#!/bin/sh
# Text that cannot be trained on: one clear line, exit 1, nothing written.
. "$(dirname "$0")/checks.inc"

refused() # WORDS PATH...
{
    words=$1
    shift
    expect 1 "$DITHER" train --new "$tiny" --data "$@" --batch 2 --threads 1 --steps 2 --out never
    says_in_one_line "$words"
    [ ! -e never ] || fail "the refused run over $* left a folder"
}

refused 'missing.txt' missing.txt
: >empty.txt
refused 'empty' empty.txt
printf x >one.txt
refused . one.txt
printf 'fine\nfine\nbad \377 byte\n' >latin.txt
refused 'latin.txt:3' latin.txt
printf 'cut short \303' >cut.txt
refused 'cut.txt' cut.txt
printf 'surrogate \355\240\200' >surrogate.txt
refused 'surrogate.txt' surrogate.txt
{ printf 'PNG\r\n'; head -c 100 /dev/zero; printf '\377'; } >picture
refused 'picture: not a text; move it out of the folder' picture
printf '\001\002\003\004\377' >codes
refused 'codes: not a text' codes
mkdir folder
refused 'folder' folder
printf secret >folder/.hidden
refused 'folder' folder
printf 'too short' >short.txt
refused . short.txt
printf '\357\273\277' >mark.txt
refused 'mark.txt' mark.txt
write_text text.txt 60
refused 'missing.txt' text.txt missing.txt
ln -s loop folder/loop
refused 'folder' folder
expect 1 "$DITHER" train --new "$tiny" --data text.txt --val missing.txt --steps 2 --out never
says_in_one_line 'missing.txt'
expect 1 "$DITHER" train --new "$tiny" --data text.txt --val one.txt --steps 2 --out never
says_in_one_line .
[ ! -e never ] || fail 'a refused run left a folder'

# What comes right after a mistake is put right works.
expect 0 "$DITHER" train --new "$tiny" --data text.txt --batch 2 --threads 1 --steps 2 --out never
