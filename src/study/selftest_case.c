#include "study/selftest_case.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/codes_pack.h"
#include "kernel/gemm_kernels.h"
#include "quant/bits.h"
#include "quant/scale.h"
#include "study/selftest_expect.h"

enum { ROWS = DITHER_CASE_ROWS, COLS = DITHER_CASE_COLS, SIZE = DITHER_CASE_SIZE, OPERAND_BYTES = SIZE * 16 };

static const double least_scaled = 0x1p-100;
static const float largest_tame = 0x1p100f; /* formats beyond it get no magnitudes beyond their own largest */

static void carve(dither_arena *arena, dither_case_room *room)
{
    float **const parts[] = {&room->x,   &room->got,  &room->scale,  &room->inside,
                             &room->low, &room->high, &room->wanted, &room->probability};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        *parts[i] = dither_arena_take(arena, SIZE, sizeof(float));
    room->cell = dither_arena_take(arena, SIZE, 1);
    room->codes = dither_arena_take(arena, SIZE, 16); /* 4 of a code, 4 of its scale, and rows that end on bytes */
    room->operand = dither_arena_take(arena, OPERAND_BYTES, 1);
    room->scratch = dither_arena_take(arena, SIZE, 64);
}

size_t dither_case_bytes(void)
{
    dither_arena arena = dither_arena_dry();
    dither_case_room room;
    carve(&arena, &room);
    return arena.peak;
}

dither_case_room dither_case_room_of(void *memory)
{
    dither_arena arena = {.base = memory, .size = dither_case_bytes()};
    dither_case_room room;
    carve(&arena, &room);
    return room;
}

/* ---- what goes in ------------------------------------------------------------------------------------------ */

/* Numbers that have nothing to do with the draws: SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static double uniform(uint64_t *state)
{
    return (double)(next(state) >> 11) * 0x1p-53;
}

/* A fraction for each cell: where nothing or everything moves, ties of F, either side of its steps, and plain ones. */
static void list_fractions(int bits, double fraction[DITHER_CASE_CELLS])
{
    const double step = ldexp(1.0, -bits);
    const double fractions[DITHER_CASE_CELLS] = {
        0.0,        0.25 * step, 0.75 * step, 1.5 * step,         2.5 * step, 1.0 - 0.75 * step, 1.0 - 0.25 * step,
        1.0 / 16.0, 1.0 / 8.0,   1.0 / 4.0,   1.0 / 3.0,          0.5,        0.5 + 0.25 * step, 0.75,
        7.0 / 8.0,  0.9};
    memcpy(fraction, fractions, sizeof fractions);
}

/*
 * A value of the format with another one above it. Where a scale may be multiplied into a bf16, none that the two
 * together take below f32's normal numbers, which no unit of that kind keeps (docs/numerics.md).
 */
static double value_of(const dither_format *format, bool scaled, uint64_t *state)
{
    const uint64_t choice = next(state);
    const bool tiny = scaled && format->smallest < least_scaled;
    if (format->kind != DITHER_KIND_FLOAT) {
        const double most = fmin(format->max / format->smallest, 0x1p16);
        return (double)(choice % (uint64_t)most) * format->smallest;
    }
    const uint64_t mantissa = (choice >> 32) & ((UINT64_C(1) << format->mantissa_bits) - 1);
    if (choice % 4 == 0 && !tiny)
        return (double)mantissa * format->smallest;
    const int top = ilogb(format->max), lowest = format->min_exponent > top - 12 ? format->min_exponent : top - 12;
    const int exponent = lowest + (int)(choice / 4 % (uint64_t)(top - lowest + 1));
    const uint64_t significand = mantissa + (UINT64_C(1) << format->mantissa_bits);
    const double y = ldexp((double)significand, exponent - format->mantissa_bits);
    return y + dither_expect_step(format, y) <= format->max ? y : tiny ? 1.0 : 0.0;
}

/* An element, before its scale. Turning points: F of this element's own draw, which must not move it, or one more. */
static double placed(const dither_case *c, const double *fractions, uint64_t *state, uint32_t draw, uint8_t *cell)
{
    const dither_format *format = &c->quantizer.format;
    const double low = value_of(format, c->quantizer.shape != DITHER_SCALE_NONE, state);
    const uint64_t choice = next(state);
    double fraction;
    if (choice % 4 == 0) {
        *cell = DITHER_CASE_NO_CELL;
        fraction = ((double)draw + (double)(choice / 4 % 2)) /
                   (double)(UINT64_C(1) << c->quantizer.rounding.bits);
    } else {
        *cell = (uint8_t)(choice / 4 % DITHER_CASE_CELLS);
        fraction = fractions[*cell];
    }
    return (choice >> 60 & 1 ? -1.0 : 1.0) * (low + fraction * dither_expect_step(format, low));
}

/* Every region's first element is as large as its scale allows: a power of two, so that quotients are exact. */
static void fill_placed(const dither_case *c, const dither_regions *regions, uint64_t state, dither_case_room *room)
{
    const dither_format *format = &c->quantizer.format;
    const bool scaled = c->quantizer.shape != DITHER_SCALE_NONE;
    uint32_t draws[COLS];
    double fractions[DITHER_CASE_CELLS];
    list_fractions(c->quantizer.rounding.bits, fractions);
    for (size_t i = 0; i < ROWS; i++) {
        dither_expect_draws(&c->draw, i, COLS, c->quantizer.rounding.bits, draws);
        for (size_t j = 0; j < COLS; j++) {
            const size_t at = i * COLS + j, region = i / regions->height * regions->across + j / regions->width;
            uint64_t of_region = region + c->draw.step;
            const double scale = scaled ? 1.0 / (double)(1 << next(&of_region) % 4) : 1.0;
            double y = placed(c, fractions, &state, draws[j], &room->cell[at]);
            const uint64_t choice = next(&state);
            const bool first = i % regions->height == 0 && j % regions->width == 0;
            const bool beyond = !scaled && choice % 64 == 0 && format->max < (double)largest_tame;
            if ((scaled && first) || beyond) {
                y = (choice >> 40 & 1 ? -1.0 : 1.0) * format->max * (beyond ? 1.0 + uniform(&state) : 1.0);
                room->cell[at] = DITHER_CASE_NO_CELL;
            }
            room->x[at] = (float)(y * scale);
        }
    }
}

/* As data are: many sizes, some far off, and where there is no scale, some beyond the format. */
static void fill_any(const dither_case *c, uint64_t state, dither_case_room *room)
{
    const dither_format *format = &c->quantizer.format;
    const bool bounded = c->quantizer.shape == DITHER_SCALE_NONE && format->max < (double)largest_tame;
    for (size_t at = 0; at < SIZE; at++) {
        double y = uniform(&state) + uniform(&state) + uniform(&state) - 1.5;
        if (next(&state) % 50 == 0)
            y *= 16.0;
        if (next(&state) % 8 == 0)
            y *= ldexp(1.0, -(int)(next(&state) % 20));
        room->x[at] = (float)(bounded ? y * format->max : y);
        room->cell[at] = DITHER_CASE_NO_CELL;
    }
}

static void fill_halves(const dither_case *c, dither_case_room *room)
{
    for (size_t at = 0; at < SIZE; at++) {
        room->x[at] = (float)(c->quantizer.format.smallest / 2.0);
        room->cell[at] = DITHER_CASE_NO_CELL;
    }
    room->x[0] = (float)c->quantizer.format.max;
}

/* ---- what must come out ------------------------------------------------------------------------------------- */

static dither_codes codes_of(const dither_case *c, dither_case_room *room)
{
    dither_codes codes;
    assert(dither_codes_bytes(&c->quantizer, c->axis, ROWS, COLS) <= (size_t)SIZE * 16);
    const dither_status laid = dither_codes_init(&codes, &c->quantizer, c->axis, ROWS, COLS, room->codes);
    assert(laid == DITHER_OK);
    (void)laid;
    return codes;
}

static uint64_t quantize(const dither_case *c, dither_codes *codes, const float *x)
{
    dither_clips clips = {0};
    const dither_status status = dither_quantize(codes, x, NULL, NULL, &c->draw, &clips, 1);
    assert(status == DITHER_OK);
    (void)status;
    return clips.clipped;
}

/* Scales are those of src/quant; that they are large enough is checked here. */
static void read_scales(const dither_case *c, const dither_regions *regions, dither_case_room *room)
{
    dither_codes codes = codes_of(c, room);
    quantize(c, &codes, room->x);
    const dither_quantizer *q = &c->quantizer;
    const bool scaled = q->shape != DITHER_SCALE_NONE;
    room->scales_hold = true;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLS; j++) {
            const size_t at = i * COLS + j, region = i / regions->height * regions->across + j / regions->width;
            const uint8_t *stored = codes.scale + region * dither_scale_bytes(q->scale);
            room->scale[at] = scaled ? dither_scale_load(q->scale, codes.tensor_scale, stored) : 1.0f;
            const bool split = scaled && q->scale != DITHER_SCALE_F32;
            room->inside[at] = split ? dither_scale_load(q->scale, 1.0f, stored) : 1.0f;
            const bool holds = (double)room->scale[at] * q->format.max >= fabs((double)room->x[at]);
            room->scales_hold = room->scales_hold && (!scaled || holds);
        }
}

void dither_case_make(const dither_case *c, dither_case_room *room)
{
    const dither_regions regions = dither_regions_of(&c->quantizer, c->axis, ROWS, COLS);
    const uint64_t state = c->draw.seed * 31 + ((uint64_t)c->draw.tensor << 32 | c->draw.step);
    if (c->fill == DITHER_CASE_PLACED)
        fill_placed(c, &regions, state, room);
    else if (c->fill == DITHER_CASE_ANY)
        fill_any(c, state, room);
    else
        fill_halves(c, room);
    read_scales(c, &regions, room);
    uint32_t draws[COLS];
    room->clipped = 0;
    for (size_t i = 0; i < ROWS; i++) {
        dither_expect_draws(&c->draw, i, COLS, c->quantizer.rounding.bits, draws);
        for (size_t j = 0; j < COLS; j++) {
            const size_t at = i * COLS + j;
            const float s = room->scale[at], y = s > 0.0f ? room->x[at] / s : 0.0f;
            const dither_expect_place p =
                dither_expect_place_of(&c->quantizer.format, c->quantizer.rounding.bits, y);
            room->low[at] = (float)p.low;
            room->high[at] = (float)p.high;
            room->wanted[at] = (double)draws[j] < p.accepted ? room->high[at] : room->low[at];
            room->probability[at] = (float)p.probability;
            room->clipped += p.clips;
        }
    }
}

uint64_t dither_case_define(const dither_case *c, dither_case_room *room)
{
    dither_codes codes = codes_of(c, room);
    const uint64_t clipped = quantize(c, &codes, room->x);
    dither_codes_values(&codes, room->got, 1);
    return clipped;
}

/* ---- kernels ------------------------------------------------------------------------------------------------ */

/* The operand that can hold such values, with its scales if it can; NULL: none. */
static const dither_gemm_kernel *holder_of(const dither_case *c, bool *bare)
{
    static const dither_gemm_kernel *const holders[] = {&dither_gemm_s8_ref, &dither_gemm_bf16_ref};
    for (int without = 0; without < 2; without++)
        for (size_t i = 0; i < sizeof holders / sizeof holders[0]; i++)
            if (dither_pack_fits(&c->quantizer, c->axis, c->axis, without == 1, holders[i]->element)) {
                *bare = without == 1;
                return holders[i];
            }
    return NULL;
}

/* Element (row, k) of an operand of the reference kernels: see gemm_kernel.h. */
static float element_at(const dither_operand *operand, size_t row, size_t k)
{
    const dither_packing *packing = &operand->kernel->a;
    const size_t at = row / packing->panel * packing->panel * operand->padded_k +
                      k / packing->unit * packing->panel * packing->unit + row % packing->panel * packing->unit +
                      k % packing->unit;
    if (operand->kernel->element == DITHER_ELEMENT_S8)
        return (float)(int8_t)(((const uint8_t *)operand->data)[at] ^ packing->flip);
    return dither_f32_from_bits((uint32_t)((const uint16_t *)operand->data)[at] << 16);
}

static void read_operand(const dither_case *c, const dither_operand *operand, bool bare, dither_case_room *room,
                         bool *right)
{
    const bool along_cols = c->axis == DITHER_AXIS_COLS;
    const bool inside = dither_pack_inside(&c->quantizer, bare, operand->kernel->element);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLS; j++) {
            const size_t at = i * COLS + j, row = along_cols ? i : j, k = along_cols ? j : i;
            const float element = element_at(operand, row, k);
            const float within = inside && room->inside[at] != 0.0f ? room->inside[at] : 1.0f;
            room->got[at] = element / within;
            const float beside = operand->scale[k / operand->group * operand->padded_rows + row];
            const float wanted = bare ? 1.0f : inside ? room->scale[at] / within : room->scale[at];
            *right = *right && beside == wanted;
        }
}

bool dither_case_pack(const dither_case *c, const dither_quantize_rows *rows, dither_case_room *room,
                      uint64_t *clipped, bool *right)
{
    bool bare = false;
    const dither_gemm_kernel *holder = holder_of(c, &bare);
    if (holder == NULL)
        return false;
    const bool along_cols = c->axis == DITHER_AXIS_COLS;
    const size_t operand_rows = along_cols ? ROWS : COLS, k = along_cols ? COLS : ROWS;
    const size_t group = dither_pack_group(&c->quantizer, c->axis, c->axis, bare, holder->element);
    assert(dither_operand_bytes(holder, DITHER_SIDE_A, operand_rows, k, group) <= OPERAND_BYTES);
    dither_operand operand;
    dither_operand_init(&operand, holder, DITHER_SIDE_A, operand_rows, k, group, room->operand);
    const dither_pack_target target = {.quantizer = &c->quantizer,
                                       .axis = c->axis,
                                       .draw = &c->draw,
                                       .operand = {&operand},
                                       .operand_axis = {c->axis},
                                       .bare = {bare}};
    assert(dither_quantize_pack_bytes(&target, 1, ROWS, COLS, 1) <= (size_t)SIZE * 64);
    dither_clips clips = {0};
    const dither_status status =
        dither_quantize_pack_with(rows, room->x, ROWS, COLS, &target, 1, room->scratch, &clips, 1);
    *clipped = clips.clipped;
    *right = status == DITHER_OK;
    read_operand(c, &operand, bare, room, right);
    return true;
}
