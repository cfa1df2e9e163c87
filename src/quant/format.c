/*
 * The table of number formats. Adding a format is adding a row: the encoder, the packer, the parser and every test read
 * the columns and nothing else. docs/formats.md draws the bit layouts.
 *
 * Sources: OCP 8-bit Floating Point Specification (E4M3, E5M2); OCP Microscaling Formats v1.0 (E2M1, E2M3, E3M2, E8M0);
 * IEEE 754 (f16, f32).
 */
#include "quant/format_rows.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"

/* A row's codes are packed in the smallest group that ends on a byte. */
#define GROUP_CODES(BITS) ((BITS) % 8 == 0 ? 1 : (BITS) % 4 == 0 ? 2 : (BITS) % 2 == 0 ? 4 : 8)
#define GROUP(BITS) GROUP_CODES(BITS), GROUP_CODES(BITS) * (BITS) / 8

/* One sign bit, X of exponent, Y of mantissa; MIN is the smallest normal, 2^(2-2^(X-1)). */
#define FLOAT(NAME, X, Y, SPECIALS, MIN, MAX)                                                                        \
    {NAME,  DITHER_KIND_FLOAT,    DITHER_SPECIALS_##SPECIALS, 1 + (X) + (Y), X, Y, (1 << ((X)-1)) - 1,                \
     2 - (1 << ((X)-1)), GROUP(1 + (X) + (Y)), MAX, (MIN) / (double)(1 << (Y))},

/* A member of a family: TOP is the binade of the largest value. */
#define MEMBER(X, Y, SPECIALS, MIN, TOP) FLOAT("e" #X "m" #Y, X, Y, SPECIALS, MIN, (TOP) * (2.0 - 1.0 / (1 << (Y))))

#define E2(Y) MEMBER(2, Y, NONE, 0x1p0, 0x1p2)
#define E3(Y) MEMBER(3, Y, NONE, 0x1p-2, 0x1p4)
#define E4(Y) MEMBER(4, Y, NONE, 0x1p-6, 0x1p8)
#define E5(Y) MEMBER(5, Y, NONE, 0x1p-14, 0x1p16)
#define E6(Y) MEMBER(6, Y, NONE, 0x1p-30, 0x1p32)
#define E7(Y) MEMBER(7, Y, NONE, 0x1p-62, 0x1p64)
#define E8(Y) MEMBER(8, Y, IEEE, 0x1p-126, 0x1p127)
#define E4M3 FLOAT("e4m3", 4, 3, NAN, 0x1p-6, 448.0)
#define E5M2 FLOAT("e5m2", 5, 2, IEEE, 0x1p-14, 57344.0)

#define INT(BITS)                                                                                                    \
    {"int" #BITS, DITHER_KIND_INT,         DITHER_SPECIALS_NONE, BITS, 0, 0, 0, 0,                                    \
     GROUP(BITS), (1 << ((BITS)-1)) - 1.0, 1.0},

static const dither_format table[] = {
    FLOAT("f32", 8, 23, IEEE, 0x1p-126, 0x1.fffffep127)
    FLOAT("bf16", 8, 7, IEEE, 0x1p-126, 0x1.fep127)
    FLOAT("f16", 5, 10, IEEE, 0x1p-14, 65504.0)
    E2(0) E2(1) E2(2) E2(3) E2(4) E2(5) E2(6) E2(7) E2(8) E2(9) E2(10)
    E3(0) E3(1) E3(2) E3(3) E3(4) E3(5) E3(6) E3(7) E3(8) E3(9) E3(10)
    E4(0) E4(1) E4(2) E4M3  E4(4) E4(5) E4(6) E4(7) E4(8) E4(9) E4(10)
    E5(0) E5(1) E5M2  E5(3) E5(4) E5(5) E5(6) E5(7) E5(8) E5(9) E5(10)
    E6(0) E6(1) E6(2) E6(3) E6(4) E6(5) E6(6) E6(7) E6(8) E6(9) E6(10)
    E7(0) E7(1) E7(2) E7(3) E7(4) E7(5) E7(6) E7(7) E7(8) E7(9) E7(10)
    E8(0) E8(1) E8(2) E8(3) E8(4) E8(5) E8(6)       E8(8) E8(9) E8(10) /* e8m7 is bf16 */
    INT(2) INT(3) INT(4) INT(5) INT(6) INT(7) INT(8)
    {"ternary", DITHER_KIND_INT, DITHER_SPECIALS_NONE, 2, 0, 0, 0, 0, 5, 1, 1.0, 1.0},
    {"ue8m0", DITHER_KIND_SCALE, DITHER_SPECIALS_NAN, 8, 8, 0, 127, -127, 1, 1, 0x1p127, 0x1p-127},
};

enum { ROWS = sizeof table / sizeof table[0], FIXED_MAX = 31 };

static const struct {
    const char *alias, *name;
} aliases[] = {
    {"e8m7", "bf16"}, {"bfloat16", "bf16"}, {"fp16", "f16"},  {"half", "f16"}, {"float16", "f16"}, {"fp32", "f32"},
    {"float", "f32"}, {"float32", "f32"},   {"e8m23", "f32"}, {"s2", "int2"},  {"s3", "int3"},     {"s4", "int4"},
    {"s5", "int5"},   {"s6", "int6"},       {"s7", "int7"},   {"s8", "int8"},
};

/* Between equally near names these are the likelier meant: they stand first among the candidates. */
static const char *const likely[] = {"int8", "e4m3", "bf16", "f16", "f32", "int4", "e2m1", "e5m2", "fx3", "fx10"};

enum { LIKELY = sizeof likely / sizeof likely[0], ALIASES = sizeof aliases / sizeof aliases[0] };

size_t dither_format_count(void)
{
    return ROWS;
}

const dither_format *dither_format_at(size_t index)
{
    assert(index < ROWS);
    return &table[index];
}

static const dither_format *row_or_null(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

const dither_format *dither_format_row(const char *name)
{
    const dither_format *row = row_or_null(name);
    assert(row != NULL);
    return row;
}

/* fx0 .. fx31: the one family whose rows are made, since its step is a number and not a layout. */
static bool fixed_find(const char *name, dither_format *format)
{
    uint64_t n = 0;
    if (strncmp(name, "fx", 2) != 0 || !dither_text_u64(name + 2, FIXED_MAX, &n) || (name[2] == '0' && name[3] != 0)) {
        return false;
    }
    const int exponent = -(int)n;
    *format = (dither_format){.kind = DITHER_KIND_FIXED,
                              .specials = DITHER_SPECIALS_NONE,
                              .bits = 32,
                              .min_exponent = exponent,
                              .group_codes = 1,
                              .group_bytes = 4,
                              .max = ldexp(2147483647.0, exponent),
                              .smallest = ldexp(1.0, exponent)};
    snprintf(format->name, sizeof format->name, "fx%d", (int)n);
    return true;
}

dither_status dither_format_find(const char *name, dither_format *format, dither_error *error)
{
    const char *canonical = name;
    for (size_t i = 0; i < ALIASES; i++) {
        if (strcmp(aliases[i].alias, name) == 0) {
            canonical = aliases[i].name;
        }
    }
    const dither_format *row = row_or_null(canonical);
    if (row != NULL) {
        *format = *row;
        return DITHER_OK;
    }
    if (fixed_find(name, format)) {
        return DITHER_OK;
    }
    const char *candidates[LIKELY + ROWS + ALIASES];
    size_t count = 0;
    for (size_t i = 0; i < LIKELY; i++) {
        candidates[count++] = likely[i];
    }
    for (size_t i = 0; i < ROWS; i++) {
        candidates[count++] = table[i].name;
    }
    for (size_t i = 0; i < ALIASES; i++) {
        candidates[count++] = aliases[i].alias;
    }
    const char *nearest = dither_text_nearest(name, candidates, count);
    if (nearest != NULL) {
        return dither_fail(error, DITHER_E_USAGE, "", "no format \"%s\"; did you mean %s?", name, nearest);
    }
    return dither_fail(error, DITHER_E_USAGE, "",
                       "no format \"%s\"; one of f32, bf16, f16, eXmY, int2..int8, ternary, fx0..fx31", name);
}
