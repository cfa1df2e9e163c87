#!/bin/sh
# The list of formats, tables of codes, canonical texts, and the errors for what is no format.
. "$(dirname "$0")/checks.inc"

row() # NAME and the words of its row
{
    expected="$*"
    found=$(awk -v name="$1" '$1 == name { $1 = $1; print; exit }' out)
    [ "$found" = "$expected" ] || fail "row '$found' where '$expected' is right"
}

expect 0 "$DITHER" formats
row f32 float 32 8 23 3.40282347e+38 2^-149 2^-126 4278190080 Inf, NaN
row bf16 float 16 8 7 3.38953139e+38 2^-133 2^-126 65280 Inf, NaN
row f16 float 16 5 10 65504 2^-24 2^-14 63488 Inf, NaN
row e4m3 float 8 4 3 448 2^-9 2^-6 254 NaN
row e5m2 float 8 5 2 57344 2^-16 2^-14 248 Inf, NaN
row e2m1 float 4 2 1 6 2^-1 1 16 none
row int8 int 8 - 127 1 - 255 none
row ternary int 2 - 1 1 - 3 none
prints '^int2 '
prints '^e3m2 '

expect 0 "$DITHER" formats e4m3
[ "$(grep -c '^0x' out)" = 256 ] || fail 'e4m3 has 256 codes'
prints '^0x00  0\.0000\.000  0$'
prints '^0x01  0\.0000\.001  0\.001953125$'
prints '^0x38  0\.0111\.000  1$'
prints '^0x7e  0\.1111\.110  448$'
prints '^0x7f  0\.1111\.111  nan$'
prints '^0x80  1\.0000\.000  -0$'
expect 0 "$DITHER" formats e2m1
[ "$(awk '/^0x/ { printf "%s ", $3 }' out)" = '0 0.5 1 1.5 2 3 4 6 -0 -0.5 -1 -1.5 -2 -3 -4 -6 ' ] || fail 'values of e2m1'
expect 0 "$DITHER" formats int3
[ "$(awk '/^0x/ { printf "%s ", $3 }' out)" = '0 1 2 3 unused -3 -2 -1 ' ] || fail 'values of int3'
expect 0 "$DITHER" formats fp16
prints '^f16 '
[ "$(grep -c '^0x' out)" = 65536 ] || fail 'f16 has 65536 codes'
expect 0 "$DITHER" formats fx3
prints '^fx3 .*fixed .*32 .*2^-3'

expect 0 "$DITHER" formats int8/row:rne
prints '^int8/row$'
prints '^format .*int8, 8 bits, from -127 to 127, step 1$'
prints '^scale .*one for each row'
prints '^rounding .*to nearest'
prints '^memory .*8 bits a value and 32 a row$'
expect 0 "$DITHER" formats e2m1/g16e4m3:sr32
prints '^e2m1/g16e4m3:sr$'
prints '^rounding .*stochastic, 32 random bits'
prints '^memory .*4.5 bits a value$'
expect 0 "$DITHER" formats int8:sr
prints '^scale .*none: the step is that of the format, 1'
expect 0 "$DITHER" formats int8
prints 'int8 is a preset too'
expect 0 "$DITHER" formats mxfp4
prints '^bweight *e2m1/g32e8m0 *4.25 bits a value *dx = dy W, backward: W$'
prints '^same_weight '
prints '^rht=32 '
expect 0 "$DITHER" formats --schemes
"$DITHER" formats --schemes >presets
while read -r name text; do
    [ "$name" != f32 ] || continue # alone it is read as the format
    expect 0 "$DITHER" formats "$text"
    sed 1q out >canonical
    expect 0 "$DITHER" formats "$(cat canonical)"
    sed 1q out | cmp -s - canonical || fail "the canonical text of $name is not canonical"
done <presets

# Numbers: between their neighbours, on the grid, beyond its end; under a scale, and by a mode that is not random.
numbers() { awk '/^ *number/ { on = 1; next } on { $1 = $1; print }' out; }
expect 0 "$DITHER" formats e2m1:sr 0.3 -0.3 1.5 -7
[ "$(numbers)" = "0.3 0 0x0 40 % 0.5 0x1 60 %
-0.3 -0.5 0x9 60 % -0 0x8 40 %
1.5 1.5 0x3 exact
-7 -6 0xf clipped" ] || { cat out >&2; fail 'neighbours and their chances'; }
expect 0 "$DITHER" formats e2m1:sr1 0.4 0.125 # with one random bit 0.8 is 1; 0.25 is a tie, to the even 0
[ "$(numbers)" = "0.4 0 0x0 0 % 0.5 0x1 100 %
0.125 0 0x0 100 % 0.5 0x1 0 %" ] || { cat out >&2; fail 'one random bit'; }
expect 0 "$DITHER" formats int4/row 1 -7 3.25
[ "$(numbers)" = "1 1 1 0x1 exact
-7 1 -7 0x9 exact
3.25 1 3 0x3" ] || { cat out >&2; fail 'numbers under a scale'; }
expect 0 "$DITHER" formats int4/row:sr 3.25 --json 7
is_json_lines out
prints '"value":4,"probability":0.25}'
expect 2 "$DITHER" formats e2m1:sr 0.3 x
says_in_one_line 'x'
expect 2 "$DITHER" formats e2m1:sr 1e39
says_in_one_line '1e39'
expect 2 "$DITHER" formats mxfp4 1
says_in_one_line 'quantizer'
expect 2 "$DITHER" formats -0.3
says '-0.3'

expect 2 "$DITHER" formats int9
says_in_one_line 'int8'
expect 2 "$DITHER" formats e4m3/row:st
says_in_one_line 'st'
expect 2 "$DITHER" formats paper-int9
says_in_one_line 'paper-int8'
suggests() # GIVEN WORDS
{
    expect 2 "$DITHER" formats "$1"
    says_in_one_line "$2"
}
suggests mxpf4 'did you mean mxfp4?'
suggests paper_int8 'did you mean paper-int8?'
suggests same_wieght 'did you mean same_weight?'
suggests fp8 'did you mean e4m3 or e5m2?'
suggests FP8 'did you mean e4m3 or e5m2?'
suggests float8 'did you mean e4m3 or e5m2?'
suggests fp4 'did you mean e2m1?'
suggests INT8 'did you mean int8?'
suggests int16 'int2 to int8'
suggests fx32 'fx0 to fx31'
suggests e4m11 'X is 2 to 8 and Y 0 to 10'
suggests e9m1 'X is 2 to 8 and Y 0 to 10'
suggests int8:rtn 'did you mean rne?'
suggests int8:stochastic 'did you mean sr?'
suggests int8/row:SR 'did you mean sr?'
suggests fx3/row 'fx3 has an absolute step and takes no scale'
expect 2 "$DITHER" formats act=int9,weight=int8
says_in_one_line 'int9'
expect 2 "$DITHER" formats e4m3 --schemes
says_in_one_line '--schemes'
for text in '' ' ' : / = , int8/ int8: /row int8/g0 int8/g int8/row/row int8:sr0 int8:sr33 fx32 fx-1 act=,weight= act; do
    expect 2 "$DITHER" formats "$text"
    says_in_one_line .
done

for arguments in e2m1 e4m3 int4 f32 int8/row:sr mxfp4 --schemes; do
    expect 0 "$DITHER" formats $arguments --json
    is_json_lines out
done
expect 0 "$DITHER" formats --json
tr -d '\n' <out >one_line
is_json_lines one_line
