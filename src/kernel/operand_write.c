/*
 * Pieces of matrices into packed panels. A unit of a packing is a few k's of one row; where it is made of 4-byte words
 * (4 codes, 2 bf16 values), words move through 16-byte vectors; what does not fill them, and every other packing, goes
 * element by element.
 *
 *     axis COLS: a row of the matrix holds words in order, and neighbours in a panel are rows: words are transposed
 *     axis ROWS: a word is made of neighbouring rows, and neighbours in a panel are columns: rows are interleaved
 */
#include "kernel/operand.h"

#include <assert.h>
#include <string.h>

enum { WORD = 4, VECTOR = 16, WORDS = VECTOR / WORD, WIDE = 16 /* columns that are interleaved at once */, LINE = 64 };

typedef uint8_t bytes16 __attribute__((vector_size(VECTOR)));
typedef uint16_t halves8 __attribute__((vector_size(VECTOR)));
typedef uint32_t words4 __attribute__((vector_size(VECTOR)));
typedef uint64_t longs2 __attribute__((vector_size(VECTOR)));

/* A part of a matrix, and where it lies in the operand. */
typedef struct piece {
    const dither_operand *operand;
    const dither_packing *packing;
    const uint8_t *values;    /* first element */
    size_t element;           /* bytes of one */
    size_t row0, rows, k0, k; /* in the operand */
    size_t row_step, k_step;  /* bytes between neighbours in `values` */
    uint32_t flip;            /* of four codes */
} piece;

static uint8_t *place(const piece *p, size_t row, size_t k)
{
    const dither_packing *to = p->packing;
    const size_t at = row / to->panel * to->panel * p->operand->padded_k + k / to->unit * to->panel * to->unit +
                      row % to->panel * to->unit + k % to->unit;
    return (uint8_t *)p->operand->data + at * p->element;
}

/* Rows row .. row_end - 1, k .. k_end - 1 of the operand, element by element; zeros beyond the piece's last k. */
static void write_elements(const piece *p, size_t row, size_t row_end, size_t k, size_t k_end)
{
    for (size_t r = row; r < row_end; r++)
        for (size_t c = k; c < k_end; c++) {
            const uint8_t *from = p->values + (r - p->row0) * p->row_step + (c - p->k0) * p->k_step;
            uint8_t *to = place(p, r, c);
            for (size_t b = 0; b < p->element; b++)
                to[b] = (uint8_t)((c < p->k0 + p->k ? from[b] : 0) ^ (p->flip & 0xffu));
        }
}

static words4 load(const uint8_t *from)
{
    words4 v;
    memcpy(&v, from, sizeof v);
    return v;
}

static void store(uint8_t *to, words4 v)
{
    memcpy(to, &v, sizeof v);
}

/* The first `count` words of two vectors. */
static inline void store_some(uint8_t *to, words4 v, words4 next, size_t count)
{
    if (count >= WORDS) {
        store(to, v);
        to += VECTOR;
        v = next;
        count -= WORDS;
    }
    if (count >= WORDS) {
        store(to, v);
        return;
    }
    const longs2 pair = (longs2)v;
    if (count >= 2) {
        memcpy(to, &pair, 2 * WORD);
        to += 2 * WORD;
    }
    if (count % 2 != 0) {
        const uint32_t last = count > 1 ? v[2] : v[0];
        memcpy(to, &last, WORD);
    }
}

/* ---- k along columns --------------------------------------------------------------------------------------- */

/* Four words of each of four, two or one rows, to where each word's neighbours are the other rows'. */
static inline void transpose_words(const uint8_t *from, size_t row_step, size_t rows, uint8_t *to, size_t word_step,
                                   words4 flip)
{
    const words4 a = load(from) ^ flip, b = rows > 1 ? load(from + row_step) ^ flip : a;
    const words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const words4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    if (rows < WORDS) {
        const words4 pairs[2] = {ab_low, ab_high};
        for (size_t w = 0; w < WORDS; w++)
            memcpy(to + w * word_step, (const uint8_t *)&pairs[w / 2] + w % 2 * 2 * WORD, rows * WORD);
        return;
    }
    const words4 c = load(from + 2 * row_step) ^ flip, d = load(from + 3 * row_step) ^ flip;
    const words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const words4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
    store(to + word_step, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
    store(to + 2 * word_step, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
    store(to + 3 * word_step, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

/* Rows of one panel. Returns how many k's are done: whole vectors of them. */
static size_t transpose_panel(const piece *p, size_t row, size_t row_end, uint8_t *to)
{
    const size_t step = VECTOR / p->element, word_step = p->packing->panel * WORD;
    const words4 flip = {p->flip, p->flip, p->flip, p->flip};
    const uint8_t *from = p->values + (row - p->row0) * p->row_step;
    size_t k = 0;
    for (; k + step <= p->k; k += step) {
        size_t r = 0;
        for (; r + WORDS <= row_end - row; r += WORDS)
            transpose_words(from + r * p->row_step, p->row_step, WORDS, to + r * WORD, word_step, flip);
        if (r + 2 <= row_end - row) {
            transpose_words(from + r * p->row_step, p->row_step, 2, to + r * WORD, word_step, flip);
            r += 2;
        }
        if (r < row_end - row)
            transpose_words(from + r * p->row_step, p->row_step, 1, to + r * WORD, word_step, flip);
        from += VECTOR;
        to += WORDS * word_step;
    }
    return k;
}

/* Units of several words: they are copied whole. */
static size_t copy_panel(const piece *p, size_t row, size_t row_end, uint8_t *panel)
{
    const size_t unit = p->packing->unit, bytes = unit * p->element, whole = p->k / unit * unit;
    for (size_t r = row; r < row_end; r++) {
        const uint8_t *from = p->values + (r - p->row0) * p->row_step;
        uint8_t *to = panel + (r - row) * bytes;
        for (size_t k = 0; k < whole; k += unit, from += bytes, to += p->packing->panel * bytes)
            for (size_t b = 0; b < bytes; b += 2 * WORD) {
                uint64_t pair;
                memcpy(&pair, from + b, sizeof pair);
                pair ^= (uint64_t)p->flip << 32 | p->flip;
                memcpy(to + b, &pair, sizeof pair);
            }
    }
    return whole;
}

/* ---- k along rows ------------------------------------------------------------------------------------------ */

/* Words of `WIDE` columns: byte b, or half h, of word j is row b's, or h's, element j. */
static inline void interleave(const uint8_t *from, size_t row_step, bool bytes, words4 flip, words4 out[4])
{
    halves8 low[2], high[2]; /* of rows 0 and 1, and of rows 2 and 3; bf16: of columns below 8, and above */
    if (bytes) {
        const bytes16 a = (bytes16)load(from), b = (bytes16)load(from + row_step);
        const bytes16 c = (bytes16)load(from + 2 * row_step), d = (bytes16)load(from + 3 * row_step);
#define DITHER_LOW(x, y)  __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define DITHER_HIGH(x, y) __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
        low[0] = (halves8)DITHER_LOW(a, b);
        high[0] = (halves8)DITHER_LOW(c, d);
        low[1] = (halves8)DITHER_HIGH(a, b);
        high[1] = (halves8)DITHER_HIGH(c, d);
#undef DITHER_LOW
#undef DITHER_HIGH
    } else {
        low[0] = (halves8)load(from);
        high[0] = (halves8)load(from + row_step);
        low[1] = (halves8)load(from + VECTOR);
        high[1] = (halves8)load(from + row_step + VECTOR);
    }
    for (size_t h = 0; h < 2; h++) {
        out[2 * h] = (words4)__builtin_shufflevector(low[h], high[h], 0, 8, 1, 9, 2, 10, 3, 11) ^ flip;
        out[2 * h + 1] = (words4)__builtin_shufflevector(low[h], high[h], 4, 12, 5, 13, 6, 14, 7, 15) ^ flip;
    }
}

/* `count` <= WIDE columns of one panel, all whole words of k. `readable`: WIDE columns may be read. */
static inline void interleave_columns(const piece *p, size_t row, size_t count, bool bytes, bool readable, uint8_t *to)
{
    const size_t per_word = WORD / p->element, word_step = p->packing->panel * WORD;
    const words4 flip = {p->flip, p->flip, p->flip, p->flip};
    const uint8_t *from = p->values + (row - p->row0) * p->element;
    uint8_t room[WORD][VECTOR * 2] = {{0}};
    for (size_t k = 0; k + per_word <= p->k; k += per_word, from += per_word * p->k_step, to += word_step) {
        words4 v[4];
        if (readable) {
            interleave(from, p->k_step, bytes, flip, v);
        } else {
            for (size_t r = 0; r < per_word; r++)
                memcpy(room[r], from + r * p->k_step, count * p->element);
            interleave(room[0], sizeof room[0], bytes, flip, v);
        }
        if (count == WIDE) {
            for (size_t n = 0; n < 4; n++)
                store(to + n * VECTOR, v[n]);
        } else if (count <= 2 * WORDS) {
            store_some(to, v[0], v[1], count);
        } else {
            store_some(to, v[0], v[1], 2 * WORDS);
            store_some(to + 2 * VECTOR, v[2], v[3], count - 2 * WORDS);
        }
    }
}

/* The same for the counts there are, so that each loop does what it needs and no more. */
static void interleave_some(const piece *p, size_t row, size_t count, uint8_t *to)
{
    const bool readable = row + WIDE <= p->row0 + p->rows;
    const bool bytes = p->element == 1;
    if (!readable)
        interleave_columns(p, row, count, bytes, false, to);
    else if (count == WIDE)
        bytes ? interleave_columns(p, row, WIDE, true, true, to) : interleave_columns(p, row, WIDE, false, true, to);
    else if (count == 2 * WORDS)
        bytes ? interleave_columns(p, row, 2 * WORDS, true, true, to)
              : interleave_columns(p, row, 2 * WORDS, false, true, to);
    else if (count == 6)
        bytes ? interleave_columns(p, row, 6, true, true, to) : interleave_columns(p, row, 6, false, true, to);
    else
        interleave_columns(p, row, count, bytes, true, to);
}

static size_t interleave_panel(const piece *p, size_t row, size_t row_end, uint8_t *to)
{
    for (size_t r = row; r < row_end; r += WIDE)
        interleave_some(p, r, row_end - r < WIDE ? row_end - r : WIDE, to + (r - row) * WORD);
    const size_t per_word = WORD / p->element;
    return p->k / per_word * per_word;
}

/* Units of several words: the words of WIDE columns first, then each column's together. */
static size_t gather_panel(const piece *p, size_t row, size_t row_end, uint8_t *panel)
{
    const size_t unit = p->packing->unit, words = unit * p->element / WORD, per_word = WORD / p->element;
    const size_t whole = p->k / unit * unit, readable = p->row0 + p->rows;
    const words4 flip = {p->flip, p->flip, p->flip, p->flip}, none = {0};
    size_t r = row;
    while (r < row_end && r + WIDE <= readable && (row_end - r) % WORDS == 0) {
        const size_t count = row_end - r < WIDE ? row_end - r : WIDE;
        for (size_t k = 0; k < whole; k += unit) {
            uint32_t made[WIDE][WIDE]; /* [word][column] */
            const uint8_t *from = p->values + (r - p->row0) * p->element + k * p->k_step;
            uint8_t *to = panel + (r - row) * words * WORD + k / unit * p->packing->panel * words * WORD;
            for (size_t w = 0; w < words; w++) {
                words4 v[4];
                interleave(from + w * per_word * p->k_step, p->k_step, p->element == 1, flip, v);
                memcpy(made[w], v, sizeof v);
            }
            const size_t group = words < WORDS ? words : WORDS;
            for (size_t w = 0; w < words; w += group)
                for (size_t c = 0; c < count; c += WORDS)
                    transpose_words((const uint8_t *)&made[w][c], sizeof made[w], group, to + (c * words + w) * WORD,
                                    words * WORD, none);
        }
        r += count;
    }
    if (r < row_end)
        write_elements(p, r, row_end, p->k0, p->k0 + whole);
    return whole;
}

/* ---- all packings ------------------------------------------------------------------------------------------ */

/* Rows of one panel, as many k's as go in vectors. */
static size_t write_panel(const piece *p, bool along_cols, size_t row, size_t row_end, uint8_t *to)
{
    const size_t bytes = p->packing->unit * p->element;
    if (bytes == WORD)
        return along_cols ? transpose_panel(p, row, row_end, to) : interleave_panel(p, row, row_end, to);
    if ((bytes & (bytes - 1)) == 0 && bytes > WORD && bytes <= WIDE * WORD)
        return along_cols ? copy_panel(p, row, row_end, to) : gather_panel(p, row, row_end, to);
    return 0;
}

static void fetch(const uint8_t *at, size_t bytes)
{
    for (size_t b = 0; b < bytes; b += LINE)
        __builtin_prefetch(at + b, 1);
}

void dither_operand_write(dither_operand *operand, dither_axis axis, size_t row0, size_t col0, size_t rows, size_t cols,
                          const void *values, size_t stride)
{
    const dither_gemm_kernel *kernel = operand->kernel;
    const bool along_cols = axis == DITHER_AXIS_COLS;
    const size_t element = kernel->element == DITHER_ELEMENT_S8 ? sizeof(int8_t) : sizeof(uint16_t);
    const dither_packing *packing = operand->side == DITHER_SIDE_A ? &kernel->a : &kernel->b;
    const piece p = {
        .operand = operand,
        .packing = packing,
        .values = values,
        .element = element,
        .row0 = along_cols ? row0 : col0,
        .rows = along_cols ? rows : cols,
        .k0 = along_cols ? col0 : row0,
        .k = along_cols ? cols : rows,
        .row_step = (along_cols ? stride : 1) * element,
        .k_step = (along_cols ? 1 : stride) * element,
        .flip = packing->flip * 0x01010101u,
    };
    assert(p.row0 + p.rows <= operand->rows && p.k0 + p.k <= operand->k);
    const size_t end = p.k0 + p.k == operand->k ? operand->padded_k : p.k0 + p.k;
    const size_t last = p.row0 + p.rows, panel = packing->panel;
    uint8_t *to = place(&p, p.row0, p.k0);
    for (size_t row = p.row0, left = panel - p.row0 % panel; row < last; row += left, left = panel) {
        left = left < last - row ? left : last - row;
        if (row + left < last) /* panels lie far apart: the next one's lines are fetched meanwhile */
            fetch(to + panel * operand->padded_k * element, panel * p.k * element);
        const size_t done = write_panel(&p, along_cols, row, row + left, to);
        if (done < end - p.k0)
            write_elements(&p, row, row + left, p.k0 + done, end);
        /* To the next panel, from wherever in this one the piece began. */
        if (row + left < last)
            to += (panel * operand->padded_k - (panel - left) * packing->unit) * element;
    }
}
