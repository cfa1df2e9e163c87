/*
 * Records packed into sequences of T tokens, several to one. A record of L tokens takes L - 1 places: the last of its
 * tokens is predicted, but predicts nothing.
 *
 * An epoch sees every record once, or as often as its file's weight says, in an order that is a function of (seed,
 * epoch); each record in turn goes into the sequence where it leaves the least room, of the newest that are open. So
 * sample n is a function of seed and n. Packing is done an epoch at a time, when a sample of another one is asked for,
 * and allocates nothing.
 */
#ifndef DITHER_DATA_PACKER_H
#define DITHER_DATA_PACKER_H

#include "data/records_data.h"

/* Records of one file. */
typedef struct dither_packer_part {
    size_t first, count;
    size_t entries; /* how many of them an epoch sees, repeated ones too */
} dither_packer_part;

/* Which records of each file: its last fraction is held out. */
typedef enum dither_packer_share {
    DITHER_SHARE_ALL,
    DITHER_SHARE_TRAIN,
    DITHER_SHARE_HELD_OUT /* each once */
} dither_packer_share;

typedef struct dither_packer_options {
    size_t seq;
    dither_long longer;
    dither_packer_share share;
    double held_out; /* fraction of each file, rounded down */
    bool shuffled;   /* else the files' own order */
    uint64_t seed;
} dither_packer_options;

typedef struct dither_packer {
    const dither_records *records;
    dither_packer_options options;
    dither_packer_part *parts; /* [part_count], one a file */
    size_t part_count, entries;
    uint32_t *trained;  /* [records] tokens of each that are trained on, of those that fit; 0: it is left out */
    uint32_t *arrived;  /* [entries] records of the epoch, in their order */
    uint32_t *placed;   /* [entries] which sequence took them */
    uint32_t *items;    /* [entries] the same records, by sequence */
    uint32_t *starts;   /* [entries + 1] of each sequence in items */
    uint64_t epoch, begin; /* of the epoch that is packed: its number, its first sample */
    size_t sequences;      /* it has; at least one */
    uint64_t placings;     /* epochs whose records were placed so far: what seeking has cost */
    size_t count;          /* records of the share */
    uint64_t tokens;       /* in them */
    dither_records_packed packed; /* the first epoch */
} dither_packer;

/**
 * @param packing  dither_packer_close() it in any case
 * @return DITHER_OK | DITHER_E_SHAPE (no record of the share has anything to train on) | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_packer_open(dither_packer *packing, const dither_records *records,
                                                 const dither_packer_options *options, dither_error *error);
void dither_packer_close(dither_packer *packing);

/**
 * One row of a batch, sample n. Places without a record are documents of their own of one token, and not trained on.
 * @param ids, targets, positions, first  [seq], as in dither_batch_view
 */
void dither_packer_row(dither_packer *packing, uint64_t n, uint32_t *ids, uint32_t *targets, uint32_t *positions,
                       uint32_t *first);

/** Trained tokens of samples n .. n + count - 1; the epoch of sample n stays packed. */
uint64_t dither_packer_trained(dither_packer *packing, uint64_t n, uint64_t count);

#endif
