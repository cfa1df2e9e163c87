/*
 * Every quantizer kernel of every format, scale and rounding: each element against the one code that its draw leads to,
 * and the elements of a cell against the mean and the variance that its draws have in all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "study/limits.h"
#include "study/selftest_case.h"

static const char *const scales[] = {"",         "/tensor",  "/row",        "/g16",        "/g128",
                                     "/t16",     "/rowe8m0", "/tensore8m0", "/tensore4m3", "/g32e8m0",
                                     "/rowe4m3", "/g16e4m3", "/t8e4m3"};
static const char *const roundings[] = {"sr", "sr24", "sr16", "sr11", "sr8", "sr3"};
static const char *const fixed[] = {"fx0", "fx3", "fx10"};

enum {
    SCALES = sizeof scales / sizeof scales[0],
    ROUNDINGS = sizeof roundings / sizeof roundings[0],
    FIXED = sizeof fixed / sizeof fixed[0],
    OBSERVED = DITHER_SELFTEST_KERNELS + 1, /* src/quant itself, and row kernels */
    FORMATS_MOST = 128,
    MICROBATCHES = 5
};

/* Sums over draws: of what went up less its probability, of the squares of that less their mean, and the variances. */
typedef struct sums {
    double mean, mean_variance, square, square_variance;
} sums;

/* What one format found out, for every kernel. */
typedef struct findings {
    dither_selftest_tally rounding[OBSERVED][ROUNDINGS];
    dither_selftest_tally clips[OBSERVED];
    sums cell[OBSERVED][ROUNDINGS][DITHER_CASE_CELLS];
} findings;

typedef struct job {
    const dither_selftest_run *run;
    dither_format format[FORMATS_MOST];
    size_t formats;
    findings *found;          /* [formats] */
    unsigned char *memory;    /* [threads][room_bytes] */
    size_t room_bytes;
} job;

static void add_sums(sums *to, const sums *from)
{
    to->mean += from->mean;
    to->mean_variance += from->mean_variance;
    to->square += from->square;
    to->square_variance += from->square_variance;
}

/* A draw takes the values 1 - p and -p about its mean, its square less its variance (1 - 2 p) times that. */
static void score_sums(const sums *s, dither_selftest_tally *tally)
{
    dither_tally_score(tally, dither_score_sum(s->mean, s->mean_variance, 1.0));
    dither_tally_score(tally, dither_score_sum(s->square, s->square_variance, 1.0));
}

static void judge(const dither_case_room *room, dither_selftest_tally *tally, sums *cells)
{
    for (size_t at = 0; at < DITHER_CASE_SIZE; at++) {
        dither_tally_equal(tally, room->got[at] == room->wanted[at]);
        if (room->cell[at] == DITHER_CASE_NO_CELL)
            continue;
        const double p = (double)room->probability[at], variance = p * (1.0 - p);
        const double off = (room->got[at] == room->high[at] ? 1.0 : 0.0) - p;
        const sums one = {.mean = off,
                          .mean_variance = variance,
                          .square = off * off - variance,
                          .square_variance = (1.0 - 2.0 * p) * (1.0 - 2.0 * p) * variance};
        add_sums(&cells[room->cell[at]], &one);
    }
}

/* What is counted is what saturates, and under a scale nothing does. */
static void judge_clips(const dither_case *c, const dither_case_room *room, uint64_t counted,
                        dither_selftest_tally *tally)
{
    const double most = c->quantizer.format.max;
    uint64_t beyond = 0;
    for (size_t at = 0; at < DITHER_CASE_SIZE; at++) {
        const double y = (double)room->x[at] / (double)(room->scale[at] > 0.0f ? room->scale[at] : 1.0f);
        const bool out = c->quantizer.shape == DITHER_SCALE_NONE && (y > most || y < -most);
        beyond += out;
        if (out)
            dither_tally_equal(tally, room->got[at] == (float)(y > 0 ? most : -most));
    }
    dither_tally_equal(tally, counted == beyond && counted == room->clipped);
    dither_tally_equal(tally, room->scales_hold);
}

static void observe(const job *work, const dither_case *c, size_t rounding, dither_case_room *room, findings *found)
{
    dither_case_make(c, room);
    for (size_t k = 0; k == 0 || work->run->subject->rows[k - 1] != NULL; k++) {
        uint64_t clipped = 0;
        bool right = true;
        if (k == 0)
            clipped = dither_case_define(c, room);
        else if (!dither_case_pack(c, work->run->subject->rows[k - 1], room, &clipped, &right))
            continue;
        sums cells[DITHER_CASE_CELLS] = {{0}}, all = {0};
        judge(room, &found->rounding[k][rounding], cells);
        dither_tally_equal(&found->rounding[k][rounding], right);
        judge_clips(c, room, clipped, &found->clips[k]);
        if (c->fill == DITHER_CASE_ANY)
            continue;
        for (size_t i = 0; i < DITHER_CASE_CELLS; i++) {
            add_sums(&all, &cells[i]);
            add_sums(&found->cell[k][rounding][i], &cells[i]);
        }
        score_sums(&all, &found->rounding[k][rounding]);
    }
}

/* All scales and roundings of one format, and without its own fractions once a scale. */
static void format_task(void *context, size_t index, int thread)
{
    job *work = context;
    const dither_format *format = &work->format[index];
    dither_case_room room = dither_case_room_of(work->memory + (size_t)thread * work->room_bytes);
    const size_t shapes = format->kind == DITHER_KIND_FIXED ? 1 : SCALES; /* a fixed point's step is absolute */
    uint32_t number = 0;
    for (size_t s = 0; s < shapes; s++)
        for (size_t r = 0; r <= ROUNDINGS; r++, number++) {
            const size_t rounding = r < ROUNDINGS ? r : (index + s) % ROUNDINGS;
            char text[DITHER_QUANTIZER_TEXT];
            snprintf(text, sizeof text, "%s%s:%s", format->name, scales[s], roundings[rounding]);
            dither_case c = {
                .axis = (s + r) % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS,
                .draw = {.seed = work->run->options.seed,
                         .step = number,
                         .microbatch = number % MICROBATCHES,
                         .tensor = (uint32_t)index,
                         .role = number % DITHER_ROLES},
                .fill = r < ROUNDINGS ? DITHER_CASE_PLACED : DITHER_CASE_ANY,
            };
            if (dither_quantizer_parse(text, &c.quantizer, NULL) == DITHER_OK)
                observe(work, &c, rounding, &room, &work->found[index]);
        }
}

/* Whether a format is rounded to at all (f32 is its own code), and asked for. */
static bool wanted(const dither_selftest_run *run, const dither_format *format)
{
    if (format->kind == DITHER_KIND_SCALE || (format->kind == DITHER_KIND_FLOAT && format->bits == 32))
        return false;
    const char *const *only = run->subject->formats;
    for (; only != NULL && *only != NULL; only++)
        if (!strcmp(*only, format->name))
            return true;
    return run->subject->formats == NULL;
}

static void list_formats(job *work)
{
    for (size_t i = 0; i < dither_format_count() + FIXED; i++) {
        dither_format format;
        if (i < dither_format_count())
            format = *dither_format_at(i);
        else if (dither_format_find(fixed[i - dither_format_count()], &format, NULL) != DITHER_OK)
            continue;
        if (wanted(work->run, &format) && work->formats < FORMATS_MOST)
            work->format[work->formats++] = format;
    }
}

static const char *name_of(const dither_selftest_run *run, size_t k)
{
    return k == 0 ? "src" : run->subject->rows[k - 1]->isa;
}

/* Findings of all formats together, in their order. */
static void report(dither_selftest_run *run, const job *work)
{
    char name[64], compared[160];
    for (size_t k = 0; k == 0 || run->subject->rows[k - 1] != NULL; k++)
        for (size_t r = 0; r < ROUNDINGS; r++) {
            dither_selftest_tally tally = {0};
            sums cells[DITHER_CASE_CELLS] = {{0}};
            for (size_t f = 0; f < work->formats; f++) {
                dither_tally_add(&tally, &work->found[f].rounding[k][r]);
                for (size_t i = 0; i < DITHER_CASE_CELLS; i++)
                    add_sums(&cells[i], &work->found[f].cell[k][r][i]);
            }
            for (size_t i = 0; i < DITHER_CASE_CELLS; i++)
                score_sums(&cells[i], &tally);
            snprintf(name, sizeof name, "rounding %s %s", name_of(run, k), roundings[r]);
            snprintf(compared, sizeof compared, "codes with those of their draws; means and variances of %d fractions",
                     (int)DITHER_CASE_CELLS);
            dither_selftest_say(run, name, compared, &tally);
        }
    for (size_t k = 0; k == 0 || run->subject->rows[k - 1] != NULL; k++) {
        dither_selftest_tally tally = {0};
        for (size_t f = 0; f < work->formats; f++)
            dither_tally_add(&tally, &work->found[f].clips[k]);
        snprintf(name, sizeof name, "clips %s", name_of(run, k));
        dither_selftest_say(run, name, "what is counted with what saturates: under a scale nothing", &tally);
    }
}

dither_status dither_selftest_rounding(dither_selftest_run *run)
{
    job work = {.run = run, .room_bytes = dither_align_up(dither_case_bytes())};
    list_formats(&work);
    dither_arena arena;
    const dither_status status =
        dither_arena_open(&arena, dither_multiply((size_t)run->options.threads, work.room_bytes));
    if (status != DITHER_OK)
        return status;
    work.memory = arena.base;
    work.found = calloc(work.formats, sizeof *work.found);
    if (work.found != NULL) {
        dither_parallel_for(run->options.threads, work.formats, format_task, &work);
        report(run, &work);
    }
    const dither_status done = work.found != NULL ? DITHER_OK : DITHER_E_MEMORY;
    free(work.found);
    dither_arena_close(&arena);
    return done;
}
