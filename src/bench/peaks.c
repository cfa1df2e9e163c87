/* What this machine can do at most: loops out of registers, and memory far larger than the caches. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/parallel.h"
#include "bench/machine.h"
#include "bench/peak_loop.h"

enum {
    UNIT_TRIALS = 20, /* short ones: on a busy machine some meet no other process */
    UNIT_TRIALS_MOST = 150,
    UNIT_TRIAL_NS = 2 * 1000 * 1000,
    MEMORY_TRIALS = 5,
    MEMORY_LEAST = 128 << 20, /* bytes copied; as many more are written */
    MEMORY_MOST = 256 << 20,
    UNITS = DITHER_UNITS
};

/* Fastest first within a unit; portable C last. bf16 without a unit of its own runs on that of f32. */
static const dither_peak_loop *const loops[] = {
#if defined(__x86_64__)
    &dither_peak_s8_amx,          &dither_peak_bf16_amx,   &dither_peak_s8_avx512vnni,
    &dither_peak_bf16_avx512bf16, &dither_peak_f32_avx512, &dither_peak_s8_avxvnni,
    &dither_peak_s8_avx2,         &dither_peak_f32_avx2,
#elif defined(__aarch64__)
    &dither_peak_s8_i8mm, &dither_peak_s8_dotprod, &dither_peak_bf16_armbf16, &dither_peak_f32_neon,
#endif
    &dither_peak_s8_ref,          &dither_peak_f32_ref,
};

static const dither_peak_loop *loop_of(dither_unit unit, uint32_t features)
{
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++)
        if (loops[i]->unit == unit && (loops[i]->needs & features) == loops[i]->needs)
            return loops[i];
    return loop_of(DITHER_UNIT_F32, features);
}

typedef struct unit_job {
    const dither_peak_loop *loop;
    size_t rounds;
    int32_t *sink; /* [threads], a cache line apart */
} unit_job;

enum { SINK_STEP = 16 };

static void run_unit(void *context, size_t index, int thread)
{
    (void)thread;
    const unit_job *job = context;
    job->sink[index * SINK_STEP] = job->loop->run(job->rounds);
}

/* Seconds of `rounds` on each of the threads. */
static double time_unit(const unit_job *job, int threads)
{
    unit_job copy = *job;
    const int64_t begun = dither_profile_now();
    dither_parallel_for(threads, (size_t)threads, run_unit, &copy);
    return 1e-9 * (double)(dither_profile_now() - begun);
}

/* @param hoped  a rate that makes more trials needless */
static double unit_rate(const dither_peak_loop *loop, int threads, double hoped, int32_t *sink)
{
    unit_job job = {loop, 1024, sink};
    while (time_unit(&job, 1) < 1e-9 * UNIT_TRIAL_NS && job.rounds < SIZE_MAX / 4)
        job.rounds *= 2;
    double best = 0;
    for (int trial = 0; trial < UNIT_TRIALS || (best < hoped && trial < UNIT_TRIALS_MOST); trial++) {
        const double rate = loop->ops * (double)job.rounds * threads / time_unit(&job, threads);
        best = rate > best ? rate : best;
    }
    return best;
}

dither_status dither_unit_peak(dither_unit unit, int threads, dither_peak *peak, dither_error *error)
{
    const dither_peak_loop *loop = loop_of(unit, dither_cpu_active()->features);
    int32_t *sink = calloc((size_t)threads * SINK_STEP, sizeof *sink);
    if (!sink)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory for a benchmark");
    peak->isa = loop->isa;
    peak->one = unit_rate(loop, 1, 0, sink);
    const int cores = dither_cores(), side_by_side = threads < cores ? threads : cores;
    peak->all = threads == 1 ? peak->one : unit_rate(loop, threads, 0.9 * side_by_side * peak->one, sink);
    free(sink);
    return DITHER_OK;
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

/*
 * A part of the buffer a thread: as its first half is copied to the second in one piece, memcpy may write around the
 * caches.
 */
typedef struct memory_job {
    unsigned char *buffer;
    size_t part;    /* bytes */
    uint64_t *sums; /* [threads] */
} memory_job;

static void run_write(void *context, size_t index, int thread)
{
    (void)thread;
    const memory_job *job = context;
    memset(job->buffer + index * job->part, (int)index + 1, job->part);
}

static void run_read(void *context, size_t index, int thread)
{
    enum { LANES = 32 };
    (void)thread;
    const memory_job *job = context;
    const void *start = job->buffer + index * job->part;
    const uint64_t *words = start;
    uint64_t sum[LANES] = {0}, all = 0;
    for (size_t i = 0; i + LANES <= job->part / sizeof *words; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sum[lane] ^= words[i + lane];
    for (size_t lane = 0; lane < LANES; lane++)
        all ^= sum[lane];
    job->sums[index] = all;
}

static void run_copy(void *context, size_t index, int thread)
{
    (void)thread;
    const memory_job *job = context;
    unsigned char *start = job->buffer + index * job->part;
    memcpy(start + job->part / 2, start, job->part / 2);
}

/* Bytes a second; a copy reads one half and writes the other. */
static double memory_rate(memory_job *job, size_t bytes, void (*body)(void *, size_t, int), int trials, int threads)
{
    double best = 0;
    job->part = bytes / (size_t)threads / (2 * DITHER_ALIGN) * (2 * DITHER_ALIGN);
    for (int trial = 0; trial < trials; trial++) {
        const int64_t begun = dither_profile_now();
        dither_parallel_for(threads, (size_t)threads, body, job);
        const double rate = (double)job->part * threads / (1e-9 * (double)(dither_profile_now() - begun));
        best = rate > best ? rate : best;
    }
    return best;
}

/* Twice what the last caches of all cores hold, within reason. */
static size_t buffer_bytes(void)
{
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    const size_t wanted = cache > 0 ? (size_t)cache : 0;
    return 2 * (wanted < MEMORY_LEAST ? MEMORY_LEAST : wanted > MEMORY_MOST ? MEMORY_MOST : dither_align_up(wanted));
}

dither_status dither_memory_peaks(int threads, dither_peak *read, dither_peak *copy, dither_error *error)
{
    const size_t bytes = buffer_bytes();
    memory_job job;
    dither_arena arena;
    if (dither_arena_open(&arena, bytes + dither_align_up((size_t)threads * sizeof *job.sums)))
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory to measure its bandwidth with");
    job.buffer = dither_arena_take(&arena, bytes, 1);
    job.sums = dither_arena_take(&arena, (size_t)threads, sizeof *job.sums);
    (void)memory_rate(&job, bytes, run_write, 1, threads); /* pages that were never written are all the same one */
    *read = (dither_peak){.one = memory_rate(&job, bytes, run_read, MEMORY_TRIALS, 1)};
    *copy = (dither_peak){.one = memory_rate(&job, bytes, run_copy, MEMORY_TRIALS, 1)};
    read->all = threads == 1 ? read->one : memory_rate(&job, bytes, run_read, MEMORY_TRIALS, threads);
    copy->all = threads == 1 ? copy->one : memory_rate(&job, bytes, run_copy, MEMORY_TRIALS, threads);
    dither_arena_close(&arena);
    return DITHER_OK;
}

dither_status dither_bench_peak(int threads, dither_peaks *peaks, dither_error *error)
{
    *peaks = (dither_peaks){0};
    dither_status status = dither_bench_threads(threads, &peaks->threads, error);
    dither_peak *const units[UNITS] = {
        [DITHER_UNIT_F32] = &peaks->f32, [DITHER_UNIT_BF16] = &peaks->bf16, [DITHER_UNIT_S8] = &peaks->s8};
    for (int unit = 0; unit < UNITS && !status; unit++)
        status = dither_unit_peak((dither_unit)unit, peaks->threads, units[unit], error);
    return status ? status : dither_memory_peaks(peaks->threads, &peaks->read, &peaks->copy, error);
}
