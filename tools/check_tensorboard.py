"""What TensorBoard itself reads of a run against the run's log: every figure of every step, once and in order.

Usage: python3 tools/check_tensorboard.py OUT      OUT written by `dither train --tensorboard`
Needs the PyPI package tensorboard.
"""

import json
import math
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEP = {
    "loss/train": "loss",
    "optimizer/learning_rate": "lr",
    "optimizer/gradient_norm": "grad_norm",
    "machine/tokens_per_second": "tokens_per_s",
    "quantizers/clip_rate": "clip_rate",
}
EVALUATION = {"loss/held_out": "val_loss", "loss/bits_per_byte": "bits_per_byte"}


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def main(out):
    board = EventAccumulator(out, size_guidance={"scalars": 0})
    board.Reload()
    with open(f"{out}/log.jsonl", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    wrong = []
    for tags, kinds in ((STEP, {"step"}), (EVALUATION, {"eval", "end"})):
        chosen = [event for event in events if event["event"] in kinds]
        for tag, key in tags.items():
            wanted = [(event["step"], event[key]) for event in chosen if event.get(key) is not None]
            got = [(scalar.step, scalar.value) for scalar in board.Scalars(tag)]
            if [step for step, _ in wanted] != [step for step, _ in got]:
                wrong.append(f"{tag}: steps {[step for step, _ in got]}, not {[step for step, _ in wanted]}")
            elif not all(math.isclose(f32(a), b, rel_tol=1e-6) for (_, a), (_, b) in zip(wanted, got)):
                wrong.append(f"{tag}: other values than the log's")
            print(f"{tag}: {len(got)} values")
    memory = board.Scalars("machine/peak_memory_bytes")
    if not memory or min(scalar.value for scalar in memory) < 1e5:
        wrong.append("machine/peak_memory_bytes: no bytes")
    print("\n".join(wrong) if wrong else "all as in the log")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
