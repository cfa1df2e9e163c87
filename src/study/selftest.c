#include "study/selftest_run.h"

#include <assert.h>
#include <stdio.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "base/philox.h"
#include "dither/cpu.h"
#include "study/limits.h"

enum { THREADS_MOST = 1024 };

dither_selftest_subject dither_selftest_subject_of(uint32_t features)
{
    dither_selftest_subject subject = {.philox = dither_philox};
    size_t count = 0;
    for (size_t i = 0; dither_quantize_rows_at(i) != NULL; i++)
        if ((dither_quantize_rows_at(i)->needs & features) == dither_quantize_rows_at(i)->needs)
            subject.rows[count++] = dither_quantize_rows_at(i);
    assert(count < DITHER_SELFTEST_KERNELS);
    count = 0;
    for (size_t i = 0; dither_gemm_kernel_at(i) != NULL; i++)
        if ((dither_gemm_kernel_at(i)->needs & features) == dither_gemm_kernel_at(i)->needs)
            subject.gemm[count++] = dither_gemm_kernel_at(i);
    assert(count < DITHER_SELFTEST_KERNELS);
    return subject;
}

void dither_tally_equal(dither_selftest_tally *tally, bool equal)
{
    tally->compared++;
    tally->wrong += !equal;
}

void dither_tally_score(dither_selftest_tally *tally, double score)
{
    tally->tests++;
    tally->score = score > tally->score ? score : tally->score;
}

void dither_tally_add(dither_selftest_tally *tally, const dither_selftest_tally *other)
{
    tally->wrong += other->wrong;
    tally->compared += other->compared;
    tally->tests += other->tests;
    tally->score = other->score > tally->score ? other->score : tally->score;
}

void dither_selftest_say(dither_selftest_run *run, const char *name, const char *compared,
                         const dither_selftest_tally *tally)
{
    char statistic[128];
    const double limit = tally->tests > 0 ? dither_limit() : 0.0;
    int length = 0;
    if (tally->compared > 0)
        length = snprintf(statistic, sizeof statistic, "%llu of %llu wrong", (unsigned long long)tally->wrong,
                          (unsigned long long)tally->compared);
    if (tally->tests > 0)
        snprintf(statistic + length, sizeof statistic - (size_t)length, "%s%.2f sigma of %.2f", length > 0 ? ", " : "",
                 tally->score, limit);
    const dither_selftest_line line = {.name = name,
                                       .compared = compared,
                                       .statistic = statistic,
                                       .deviation = tally->score,
                                       .limit = limit,
                                       .wrong = tally->wrong,
                                       .ok = tally->wrong == 0 && tally->score <= limit};
    run->tests += tally->tests;
    run->failures += !line.ok;
    run->report(run->context, &line);
}

void dither_selftest_philox(dither_selftest_run *run)
{
    /* The known answers that Random123 publishes for philox4x32 with 10 rounds. */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
         {UINT32_MAX, UINT32_MAX},
         {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
         {0xa4093822u, 0x299f31d0u},
         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
    };
    dither_selftest_tally tally = {0};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t out[4];
        run->subject->philox(vectors[i].key, vectors[i].counter, out);
        for (int word = 0; word < 4; word++)
            dither_tally_equal(&tally, out[word] == vectors[i].out[word]);
    }
    dither_selftest_say(run, "philox", "words of philox4x32-10 with Random123's known answers", &tally);
}

dither_status dither_selftest_of(const dither_selftest_subject *subject, const dither_selftest_options *options,
                                 dither_selftest_report report, void *context, unsigned *failures, dither_error *error)
{
    if (options->threads < 0 || options->threads > THREADS_MOST)
        return dither_fail(error, DITHER_E_USAGE, "threads", "%d is not within 0 (all cores) and %d", options->threads,
                           (int)THREADS_MOST);
    dither_selftest_run run = {.subject = subject, .options = *options, .report = report, .context = context};
    if (options->threads == 0)
        run.options.threads = dither_cores();
    dither_status (*const parts[])(dither_selftest_run *) = {
        dither_selftest_rounding, dither_selftest_draws,   dither_selftest_copies,
        dither_selftest_products, dither_selftest_threads,
    };
    dither_selftest_philox(&run);
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == DITHER_OK; i++)
        status = parts[i](&run);
    assert(run.tests <= DITHER_LIMIT_TESTS);
    *failures = run.failures;
    if (status != DITHER_OK)
        return dither_fail(error, status, "selftest", "not enough memory for its matrices");
    return DITHER_OK;
}

dither_status dither_selftest(const dither_selftest_options *options, dither_selftest_report report, void *context,
                              unsigned *failures, dither_error *error)
{
    const dither_selftest_subject subject = dither_selftest_subject_of(dither_cpu_active()->features);
    return dither_selftest_of(&subject, options, report, context, failures, error);
}
