/*
 * Which quantizers a product can carry without loss, and their codes into operands.
 *
 * bf16 holds 8 significant bits and f32's exponents. A value is a code times what is multiplied into it:
 *
 *     format         bits   E8M0 inside   E4M3 inside (4 bits more)
 *     eXmY, Y <= 3   Y + 1  exact         exact, but not for X = 8
 *     eXmY, Y <= 7   Y + 1  exact         no
 *     int2 .. int5   n - 1  exact         exact
 *     int6 .. int8   n - 1  exact         no
 *     f16, eXmY, Y > 7, fixed point, f32: no
 *
 * E4M3's second-level scale, one number for the tensor, stays outside. X = 8 is out there because 2^127 times 448 is no
 * f32. Under E8M0 a value stays below 2 amax, so that only amax > 2^127 can make one Inf, which dither_dequantize makes
 * as well. Below 2^-126 units flush to 0: a value that small loses less than 2^-126, and only where a scale is below
 * 2^-126 / format->smallest.
 */
#include "kernel/codes_pack.h"

#include <assert.h>

#include "base/parallel.h"
#include "kernel/bf16.h"
#include "kernel/quantize_pack.h"
#include "quant/pack.h"
#include "quant/scale.h"

enum {
    BF16_BITS = 8, /* significant ones */
    E4M3_BITS = 4,
    S8_BITS = 8,
    F32_EXPONENT = 8,
    LONGEST_GROUP = 8 /* codes that end on a byte: the most of any format */
};

static bool is_scaled(const dither_quantizer *quantizer, bool bare)
{
    return !bare && quantizer->shape != DITHER_SCALE_NONE;
}

/* Significant bits of a format's values; more than any product's where that is not known. */
static int significant_bits(const dither_format *format)
{
    switch (format->kind) {
    case DITHER_KIND_FLOAT: return format->mantissa_bits + 1;
    case DITHER_KIND_INT: return format->bits - 1;
    case DITHER_KIND_FIXED:
    case DITHER_KIND_SCALE: break;
    }
    return 32;
}

/* One scale for a whole row of the operand, or for all of it. */
static bool whole_rows(const dither_quantizer *quantizer, dither_axis scales, dither_axis axis)
{
    return quantizer->shape == DITHER_SCALE_TENSOR || (quantizer->shape == DITHER_SCALE_ROW && scales == axis);
}

bool dither_pack_inside(const dither_quantizer *quantizer, bool bare, dither_element element)
{
    if (element != DITHER_ELEMENT_BF16 || !is_scaled(quantizer, bare))
        return false;
    if (quantizer->scale == DITHER_SCALE_E8M0)
        return true;
    return quantizer->scale == DITHER_SCALE_E4M3 && quantizer->format.exponent_bits < F32_EXPONENT &&
           significant_bits(&quantizer->format) + E4M3_BITS <= BF16_BITS;
}

static bool fits_s8(const dither_quantizer *quantizer, dither_axis scales, dither_axis axis, bool bare)
{
    if (quantizer->format.kind != DITHER_KIND_INT || quantizer->format.bits > S8_BITS)
        return false;
    if (!is_scaled(quantizer, bare) || whole_rows(quantizer, scales, axis))
        return true;
    const bool groups = quantizer->shape == DITHER_SCALE_GROUP && scales == axis;
    return (groups || quantizer->shape == DITHER_SCALE_TILE) && quantizer->size % 4 == 0;
}

bool dither_pack_fits(const dither_quantizer *quantizer, dither_axis scales, dither_axis axis, bool bare,
                      dither_element element)
{
    if (element == DITHER_ELEMENT_S8)
        return fits_s8(quantizer, scales, axis, bare);
    if (significant_bits(&quantizer->format) > BF16_BITS)
        return false;
    return !is_scaled(quantizer, bare) || dither_pack_inside(quantizer, bare, element) ||
           whole_rows(quantizer, scales, axis);
}

size_t dither_pack_group(const dither_quantizer *quantizer, dither_axis scales, dither_axis axis, bool bare,
                         dither_element element)
{
    assert(dither_pack_fits(quantizer, scales, axis, bare, element));
    (void)scales;
    (void)axis;
    const bool parts = quantizer->shape == DITHER_SCALE_GROUP || quantizer->shape == DITHER_SCALE_TILE;
    return element == DITHER_ELEMENT_S8 && !bare && parts ? quantizer->size : 0;
}

/* ---- scales ---------------------------------------------------------------------------------------------------- */

/* Scale of (i, j): of `outside` it is what multiplies sums, else what multiplies the code. */
typedef struct scale_reader {
    const dither_codes *codes;
    dither_regions regions;
    bool any;
    float tensor;
} scale_reader;

static scale_reader reader_of(const dither_codes *codes, bool any, float tensor)
{
    return (scale_reader){
        .codes = codes,
        .regions = dither_regions_of(&codes->quantizer, codes->axis, codes->rows, codes->cols),
        .any = any,
        .tensor = tensor,
    };
}

static float read_scale(const scale_reader *reader, size_t i, size_t j)
{
    if (!reader->any)
        return 1.0f;
    const dither_scale_type type = reader->codes->quantizer.scale;
    const size_t region = i / reader->regions.height * reader->regions.across + j / reader->regions.width;
    return dither_scale_load(type, reader->tensor, reader->codes->scale + region * dither_scale_bytes(type));
}

void dither_codes_scales(const dither_codes *codes, dither_axis axis, bool bare, dither_operand *operand)
{
    const dither_quantizer *quantizer = &codes->quantizer;
    if (!is_scaled(quantizer, bare)) {
        dither_operand_fill_scale(operand, 1.0f);
        return;
    }
    if (dither_pack_inside(quantizer, bare, operand->kernel->element)) {
        dither_operand_fill_scale(operand, codes->tensor_scale);
        return;
    }
    const scale_reader reader = reader_of(codes, true, codes->tensor_scale);
    for (size_t g = 0; g < operand->groups; g++) {
        float *scale = operand->scale + g * operand->padded_rows;
        const size_t k = g * operand->group;
        for (size_t r = 0; r < operand->rows; r++)
            scale[r] = axis == DITHER_AXIS_COLS ? read_scale(&reader, r, k) : read_scale(&reader, k, r);
        for (size_t r = operand->rows; r < operand->padded_rows; r++)
            scale[r] = 0.0f;
    }
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

typedef struct codes_job {
    const dither_codes *codes;
    dither_axis axis;
    dither_operand *operand;
    scale_reader inside;
    dither_value_table values;
    size_t pieces_across;
} codes_job;

void dither_value_table_init(dither_value_table *table, const dither_format *format)
{
    table->format = *format;
    for (uint32_t code = 0; format->bits <= 8 && code >> format->bits == 0; code++)
        table->value[code] = dither_format_decode(format, code);
}

/* Codes of one row of a piece. */
static const uint32_t *unpack_row(const codes_job *job, size_t i, size_t first, size_t count, uint32_t *room)
{
    const dither_format *format = &job->codes->quantizer.format;
    const size_t skip = first % (size_t)format->group_codes;
    dither_unpack(format, job->codes->packed + i * job->codes->row_bytes, first - skip, count + skip, room);
    return room + skip;
}

static void bf16_row(const codes_job *job, const uint32_t *codes, size_t i, size_t first, size_t count,
                     uint16_t *values)
{
    for (size_t j = 0; j < count; j++) {
        const float value = dither_value_at(&job->values, codes[j]) * read_scale(&job->inside, i, first + j);
        values[j] = (uint16_t)(dither_f32_bits(dither_bf16_round(value)) >> 16);
    }
}

static void write_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const codes_job *job = context;
    const dither_codes *codes = job->codes;
    const size_t row0 = index / job->pieces_across * DITHER_PIECE_ROWS;
    const size_t col0 = index % job->pieces_across * DITHER_PIECE_COLS;
    const size_t rows = codes->rows - row0 < DITHER_PIECE_ROWS ? codes->rows - row0 : DITHER_PIECE_ROWS;
    const size_t cols = codes->cols - col0 < DITHER_PIECE_COLS ? codes->cols - col0 : DITHER_PIECE_COLS;
    uint32_t room[DITHER_PIECE_COLS + LONGEST_GROUP];
    union {
        int8_t s8[DITHER_PIECE_ROWS][DITHER_PIECE_COLS];
        uint16_t bf16[DITHER_PIECE_ROWS][DITHER_PIECE_COLS];
    } piece;
    const bool s8 = job->operand->kernel->element == DITHER_ELEMENT_S8;
    for (size_t i = 0; i < rows; i++) {
        const uint32_t *row = unpack_row(job, row0 + i, col0, cols, room);
        if (s8)
            dither_value_ints(&job->values, row, cols, piece.s8[i]);
        else
            bf16_row(job, row, row0 + i, col0, cols, piece.bf16[i]);
    }
    dither_operand_write(job->operand, job->axis, row0, col0, rows, cols, &piece, DITHER_PIECE_COLS);
}

void dither_codes_pack(const dither_codes *codes, dither_axis axis, bool bare, dither_operand *operand, int threads)
{
    const dither_quantizer *quantizer = &codes->quantizer;
    assert(dither_pack_fits(quantizer, codes->axis, axis, bare, operand->kernel->element));
    dither_codes_scales(codes, axis, bare, operand);
    codes_job job = {.codes = codes, .axis = axis, .operand = operand};
    job.inside = reader_of(codes, dither_pack_inside(quantizer, bare, operand->kernel->element), 1.0f);
    dither_value_table_init(&job.values, &quantizer->format);
    job.pieces_across = (codes->cols + DITHER_PIECE_COLS - 1) / DITHER_PIECE_COLS;
    const size_t down = (codes->rows + DITHER_PIECE_ROWS - 1) / DITHER_PIECE_ROWS;
    dither_parallel_for(threads, down * job.pieces_across, write_piece, &job);
}
