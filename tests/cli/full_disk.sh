#!/bin/sh
# No room for a checkpoint: one clear line, exit 1, and the checkpoint before stays good.
. "$(dirname "$0")/checks.inc"
write_text text.txt 60
expect 0 train --out m --steps 400 --stop-at 3

# A limit on the size of files is a disk that is full for large files, without any rights.
(
    trap '' XFSZ
    ulimit -f 16
    expect 1 "$DITHER" train --resume --out m --save-every 1 --threads 1
    says_in_one_line 'm/'
) || exit 1
expect 0 "$DITHER" inspect m
expect 0 "$DITHER" train --resume --out m --stop-at 6 --threads 1
prints '^resumed  *after step [3-6] of'
expect 0 "$DITHER" generate --model m --tokens 3 --threads 1

mkdir small
if ! mount -t tmpfs -o size=96k none small 2>/dev/null; then
    echo 'skipped in part: a full file system, because mounting one is not permitted here'
    exit 0
fi
trap 'umount small' EXIT
# Too little room is told before anything is written, with the figures; room that goes later, when it is gone.
expect 1 train --out small/m --steps 400
says_in_one_line 'small/m: too little room on the file system: the run needs .* kB there .*, and [0-9.]* kB is free'
[ ! -e small/m ] || fail 'a run without room left a folder'
umount small
mount -t tmpfs -o size=400k none small || fail 'no larger file system'
expect 0 train --out small/m --steps 400 --stop-at 1
head -c 300000 /dev/zero >small/other 2>/dev/null
got=0
"$DITHER" train --resume --out small/m --save-every 1 --threads 1 >out 2>err || got=$?
[ $got = 1 ] || fail "exit code $got on a full file system"
says_in_one_line 'No space\|too little room'
expect 0 "$DITHER" inspect small/m
