#!/bin/sh
# train --tensorboard: an event file for each process, remembered by the checkpoint; without it, none.
. "$(dirname "$0")/checks.inc"
write_text text.txt 120
run() { train --steps 20 --save-every 5 --eval-every 10 "$@"; }
files() { find "$1" -name 'events.out.tfevents.*' | wc -l; }

expect 0 run --out plain
[ "$(files plain)" = 0 ] || fail 'event files that nobody asked for'
expect 0 run --out shown --tensorboard --stop-at 10
[ "$(files shown)" = 1 ] || fail 'no event file, or several'
expect 0 "$DITHER" train --resume --out shown --threads 2
[ "$(files shown)" = 2 ] || fail 'a resumed run does not write a file of its own'
for tag in loss/train loss/held_out loss/bits_per_byte optimizer/learning_rate optimizer/gradient_norm \
    machine/tokens_per_second machine/peak_memory_bytes quantizers/clip_rate; do
    for file in shown/events.out.tfevents.*; do
        LC_ALL=C grep -aq "$tag" "$file" || fail "$file has no $tag"
    done
done
cmp plain/model.safetensors shown/model.safetensors || fail 'the event files change the model'

# A finished run writes nothing more, and no dry run does.
expect 0 "$DITHER" train --resume --out shown
[ "$(files shown)" = 2 ] || fail 'a finished run wrote an event file'
expect 0 run --out dry --tensorboard --dry-run
[ ! -e dry ] || fail 'a dry run wrote something'
