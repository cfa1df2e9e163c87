/* Rows of blocks times a vector: on every instruction set the bits of decoding first, and not a byte beyond the row. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/cpu.h"
#include "guarded.h"
#include "kernel/block_dot.h"
#include "kernel/lanes.h"

enum { MOST = 1536 };

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Any bytes whose values are finite and not too large to be multiplied: a block at a time. */
static void fill_blocks(dither_block_type type, size_t n, unsigned char *blocks, uint32_t *state)
{
    const dither_block_info *info = dither_block_info_of(type);
    float values[256];
    for (size_t b = 0; b < n / info->values; b++) {
        bool fine = false;
        while (!fine) {
            for (size_t i = 0; i < info->bytes; i++)
                blocks[b * info->bytes + i] = (unsigned char)next(state);
            dither_block_decode(type, info->values, blocks + b * info->bytes, values);
            fine = true;
            for (size_t i = 0; i < info->values; i++)
                fine = fine && fabsf(values[i]) < 1e15f;
        }
    }
}

static float definition(dither_block_type type, size_t n, const unsigned char *blocks, const float *x)
{
    float *w = malloc((n + 1) * sizeof *w);
    assert_non_null(w);
    dither_block_decode(type, n, blocks, w);
    const float y = dither_lanes_dot(n, w, x);
    free(w);
    return y;
}

static void check(const dither_block_dots *dots, dither_block_type type, size_t n, bool at_end, uint32_t *state)
{
    const size_t bytes = dither_block_row_bytes(type, n);
    guarded row = guarded_new(bytes + 1), vector = guarded_new((n + 1) * sizeof(float));
    unsigned char *blocks = guarded_at(&row, bytes, at_end);
    float *x = guarded_at(&vector, n * sizeof *x, at_end), scratch[MOST];
    fill_blocks(type, n, blocks, state);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)next(state) / 8388608.0f - 1;
    const float y = dither_block_dot(dots, type, n, blocks, x, scratch), expected = definition(type, n, blocks, x);
    if (memcmp(&y, &expected, sizeof y) != 0)
        fail_msg("%s of %zu on %s: %.9g where %.9g is right", dither_block_info_of(type)->name, n, dots->isa,
                 (double)y, (double)expected);
    guarded_free(&row);
    guarded_free(&vector);
}

static void every_type_equals_its_values(void **state)
{
    (void)state;
    uint32_t random = 1;
    size_t tried = 0;
    for (size_t i = 0; dither_block_dots_at(i); i++) {
        const dither_block_dots *dots = dither_block_dots_at(i);
        if ((dots->needs & dither_cpu_active()->features) != dots->needs)
            continue;
        tried++;
        for (int type = 0; type < DITHER_BLOCK_TYPES; type++) {
            const size_t values = dither_block_info_of((dither_block_type)type)->values;
            for (size_t blocks = values == 1 ? 0 : 1; blocks * values <= MOST; blocks += blocks < 70 ? 1 : 173)
                for (int end = 0; end < 2; end++)
                    check(dots, (dither_block_type)type, blocks * values, end, &random);
        }
    }
    assert_true(tried > 0);
}

static void the_last_is_for_every_processor(void **state)
{
    (void)state;
    const dither_block_dots *last = dither_block_dots_select(0);
    assert_string_equal(last->isa, "ref");
    assert_non_null(last->dot[DITHER_BLOCK_F32]);
    assert_ptr_equal(dither_block_dots_select(UINT32_MAX), dither_block_dots_at(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_equals_its_values),
        cmocka_unit_test(the_last_is_for_every_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
