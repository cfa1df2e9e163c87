#include "data/packer.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "data/permutation.h"

enum { OPEN = 64 }; /* sequences that more records may go into */

/* ---- records ----------------------------------------------------------------------------------------------- */

/* Places that a record takes. */
static size_t length_of(const dither_packer *p, const dither_record *record)
{
    const size_t places = record->count > 0 ? record->count - 1 : 0;
    return places < p->options.seq ? places : p->options.seq;
}

static void count_record(dither_packer *p, size_t index)
{
    const dither_record record = dither_records_at(p->records, index);
    const bool longer = record.count > p->options.seq + 1;
    const size_t length = length_of(p, &record);
    uint32_t trained = 0;
    for (size_t i = 1; i <= length; i++)
        trained += record.tokens[i] >> 31;
    const bool skipped = longer && p->options.longer == DITHER_LONG_SKIP;
    p->packed.skipped += skipped;
    p->packed.cut += longer && !skipped;
    p->packed.untrained += !skipped && trained == 0;
    p->trained[index] = skipped ? 0 : trained;
    p->count++;
    p->tokens += record.count;
}

static void share_file(dither_packer *p, const dither_record_file *file, dither_packer_part *part)
{
    const dither_packer_options *o = &p->options;
    const size_t held = o->share == DITHER_SHARE_ALL ? 0 : (size_t)((double)file->count * o->held_out);
    *part = (dither_packer_part){.first = file->first, .count = file->count - held};
    if (o->share == DITHER_SHARE_HELD_OUT)
        *part = (dither_packer_part){.first = file->first + file->count - held, .count = held};
    const double entries = round(file->weight * (double)part->count);
    part->entries = o->share == DITHER_SHARE_HELD_OUT ? part->count : (size_t)entries;
    if (part->count > 0 && part->entries == 0)
        part->entries = 1;
    for (size_t i = 0; i < part->count; i++)
        count_record(p, part->first + i);
    p->entries += part->entries;
}

/* The record of an entry: a part that is seen in parts goes on in the next epoch where this one ends. */
static size_t record_of(const dither_packer *p, uint64_t entry, uint64_t epoch)
{
    const dither_packer_part *part = p->parts;
    for (; entry >= part->entries; part++)
        entry -= part->entries;
    const uint64_t turned = epoch % part->count * (part->entries % part->count);
    return part->first + (size_t)((entry + turned) % part->count);
}

/* ---- packing ----------------------------------------------------------------------------------------------- */

typedef struct open_sequence {
    uint32_t number;
    size_t room;
} open_sequence;

/* Which open sequence takes `length` places with the least room left; SIZE_MAX: none has as many. */
static size_t best_fit(const open_sequence *open, size_t count, size_t length)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        if (open[i].room >= length && (best == SIZE_MAX || open[i].room < open[best].room))
            best = i;
    return best;
}

static size_t fullest(const open_sequence *open, size_t count)
{
    size_t least = 0;
    for (size_t i = 1; i < count; i++)
        if (open[i].room < open[least].room)
            least = i;
    return least;
}

/* Records of arrived[0..count) to sequences, in placed. @return how many sequences */
static size_t place(dither_packer *p, size_t count)
{
    open_sequence open[OPEN];
    size_t opened = 0, sequences = 0;
    for (size_t i = 0; i < count; i++) {
        const dither_record record = dither_records_at(p->records, p->arrived[i]);
        const size_t length = length_of(p, &record);
        size_t slot = best_fit(open, opened, length);
        if (slot == SIZE_MAX) {
            slot = opened < OPEN ? opened++ : fullest(open, opened);
            open[slot] = (open_sequence){(uint32_t)sequences++, p->options.seq};
        }
        open[slot].room -= length;
        p->placed[i] = open[slot].number;
    }
    return sequences;
}

/* Sorts arrived by sequence into items, the order inside of one kept. */
static void sort_by_sequence(dither_packer *p, size_t count)
{
    memset(p->starts, 0, (p->entries + 1) * sizeof *p->starts);
    for (size_t i = 0; i < count; i++)
        p->starts[p->placed[i] + 1]++;
    for (size_t s = 0; s < p->sequences; s++)
        p->starts[s + 1] += p->starts[s];
    for (size_t i = count; i-- > 0;) /* from behind, the starts of the next sequences come down to their own */
        p->items[--p->starts[p->placed[i] + 1]] = p->arrived[i];
    for (size_t s = 0; s < p->sequences; s++)
        p->starts[s] = p->starts[s + 1];
    p->starts[p->sequences] = (uint32_t)count;
}

/* Counts an epoch's sequences, and places its records. @return how many arrived */
static size_t place_epoch(dither_packer *p)
{
    dither_permutation order;
    dither_permutation_draw(&order, p->entries, p->options.seed, p->epoch);
    size_t count = 0;
    for (size_t i = 0; i < p->entries; i++) {
        const uint64_t entry = p->options.shuffled ? dither_permutation_at(&order, i) : i;
        const size_t record = record_of(p, entry, p->epoch);
        if (p->trained[record] > 0)
            p->arrived[count++] = (uint32_t)record;
    }
    p->sequences = place(p, count);
    p->placings++;
    return count;
}

static void pack_epoch(dither_packer *p)
{
    sort_by_sequence(p, place_epoch(p));
}

/*
 * Packs the epoch that sample n belongs to; of those in front of it, only how many sequences they have is found out.
 * Going on costs an epoch at a time, going back those from the first one.
 * @return which of its sequences n is
 */
static size_t seek(dither_packer *p, uint64_t n)
{
    size_t count = 0;
    const bool back = n < p->begin, ahead = !back && n - p->begin >= p->sequences;
    if (back) {
        p->epoch = p->begin = 0;
        count = place_epoch(p);
    }
    while (n - p->begin >= p->sequences) {
        p->begin += p->sequences;
        p->epoch++;
        count = place_epoch(p);
    }
    if (back || ahead)
        sort_by_sequence(p, count);
    return (size_t)(n - p->begin);
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

static dither_status fail_empty(const dither_packer *p, dither_error *error)
{
    const char *path = p->records->file_count > 0 ? p->records->files[0].path : "data";
    if (p->packed.skipped > 0)
        return dither_fail(error, DITHER_E_SHAPE, path,
                           "%zu of %zu records are longer than --seq %zu and skipped, the others have nothing to train "
                           "on; --long cut, or a larger --seq", p->packed.skipped, p->count, p->options.seq);
    return dither_fail(error, DITHER_E_SHAPE, path,
                       "none of %zu records has an answer to train on%s", p->count,
                       p->packed.cut > 0 ? " within --seq; a larger --seq may help" : "; see --train-on");
}

static void sum_up(dither_packer *p)
{
    p->packed.sequences = p->sequences;
    p->packed.padding = (uint64_t)p->sequences * p->options.seq;
    for (size_t i = 0; i < p->starts[p->sequences]; i++) {
        const dither_record record = dither_records_at(p->records, p->items[i]);
        p->packed.padding -= length_of(p, &record);
        p->packed.trained += p->trained[p->items[i]];
    }
}

dither_status dither_packer_open(dither_packer *packing, const dither_records *records,
                                 const dither_packer_options *options, dither_error *error)
{
    *packing = (dither_packer){.records = records, .options = *options};
    dither_packer *p = packing;
    p->part_count = records->file_count;
    p->parts = calloc(p->part_count + 1, sizeof *p->parts);
    p->trained = calloc(records->count + 1, sizeof *p->trained);
    if (!p->parts || !p->trained)
        return dither_fail(error, DITHER_E_MEMORY, "data", "no memory to pack %zu records", records->count);
    for (size_t i = 0; i < p->part_count; i++)
        share_file(p, &records->files[i], &p->parts[i]);
    if (p->entries >= UINT32_MAX)
        return dither_fail(error, DITHER_E_SHAPE, "data", "%zu records an epoch are more than can be counted; smaller "
                           "weights", p->entries);
    p->arrived = calloc(p->entries + 1, sizeof *p->arrived);
    p->placed = calloc(p->entries + 1, sizeof *p->placed);
    p->items = calloc(p->entries + 1, sizeof *p->items);
    p->starts = calloc(p->entries + 2, sizeof *p->starts);
    if (!p->arrived || !p->placed || !p->items || !p->starts)
        return dither_fail(error, DITHER_E_MEMORY, "data", "no memory to pack %zu records", p->entries);
    if (p->count == p->packed.untrained + p->packed.skipped)
        return fail_empty(p, error);
    pack_epoch(p);
    /* A weight below 1 leaves records out of an epoch, perhaps all that have an answer; then another one has some. */
    for (size_t tried = 0; p->sequences == 0 && tried < p->count; tried++) {
        p->epoch++;
        pack_epoch(p);
    }
    sum_up(p);
    return DITHER_OK;
}

void dither_packer_close(dither_packer *packing)
{
    free(packing->parts);
    free(packing->trained);
    free(packing->arrived);
    free(packing->placed);
    free(packing->items);
    free(packing->starts);
    *packing = (dither_packer){.records = NULL};
}

/* ---- samples ----------------------------------------------------------------------------------------------- */

void dither_packer_row(dither_packer *packing, uint64_t n, uint32_t *ids, uint32_t *targets, uint32_t *positions,
                       uint32_t *first)
{
    const dither_packer *p = packing;
    const size_t sequence = seek(packing, n);
    size_t at = 0;
    for (size_t i = p->starts[sequence]; i < p->starts[sequence + 1]; i++) {
        const dither_record record = dither_records_at(p->records, p->items[i]);
        const size_t begin = at;
        for (const size_t end = at + length_of(p, &record); at < end; at++) {
            const uint32_t next = record.tokens[at - begin + 1];
            ids[at] = record.tokens[at - begin] & DITHER_RECORD_ID;
            targets[at] = next & DITHER_RECORD_TRAINED ? next & DITHER_RECORD_ID : UINT32_MAX;
            positions[at] = (uint32_t)(at - begin);
            first[at] = (uint32_t)begin;
        }
    }
    for (; at < p->options.seq; at++) {
        ids[at] = 0;
        targets[at] = UINT32_MAX;
        positions[at] = 0;
        first[at] = (uint32_t)at;
    }
}

uint64_t dither_packer_trained(dither_packer *packing, uint64_t n, uint64_t count)
{
    uint64_t trained = 0;
    (void)seek(packing, n);
    const uint64_t epoch = packing->epoch, begin = packing->begin;
    for (uint64_t k = 0; k < count; k++) {
        const size_t sequence = seek(packing, n + k);
        for (size_t i = packing->starts[sequence]; i < packing->starts[sequence + 1]; i++)
            trained += packing->trained[packing->items[i]];
    }
    if (packing->epoch != epoch) { /* the rows of these samples are asked for next, from n on */
        packing->epoch = epoch;
        packing->begin = begin;
        pack_epoch(packing);
    }
    return trained;
}

dither_status dither_records_pack(const dither_records *records, size_t seq, dither_long longer,
                                  dither_records_packed *packed, dither_error *error)
{
    dither_packer packing;
    const dither_packer_options options = {.seq = seq, .longer = longer, .shuffled = true, .seed = 1};
    const dither_status status = dither_packer_open(&packing, records, &options, error);
    *packed = packing.packed;
    dither_packer_close(&packing);
    return status;
}
