/*
 * Whether draws are independent of each other. Where every element is halfway between two values, a code says the top
 * bit of its draw; two independent fair bits agree with probability 1/2, and the agreements of pairs that form no
 * cycle are independent themselves, so that their number has the binomial law exactly.
 */
#include <stdio.h>
#include <string.h>

#include "study/limits.h"
#include "study/selftest_case.h"

/* Fields of an address, and what else two draws may differ in. */
typedef enum relation {
    NEIGHBOURS,
    ROWS,
    COLUMNS,
    ROLES,
    STEPS,
    MICROBATCHES,
    TENSORS,
    SEEDS,
    MIXED,
    RELATIONS
} relation;

static const char *const relation_names[] = {"neighbours",    "rows",    "columns", "roles",       "steps",
                                             "micro-batches", "tensors", "seeds",   "other fields"};
static const char *const relation_texts[] = {
    "draws up to 256 columns and 3 rows apart agree in one half",
    "each row is even",
    "each column is even",
    "draws of two roles agree in one half",
    "draws of two steps agree in one half",
    "draws of two micro-batches agree in one half",
    "draws of two tensors agree in one half",
    "draws of two seeds agree in one half",
    "draws of two fields apart, or a row or column more, agree in one half",
};

enum { ADDRESSES = 14, BITS_MOST = 32 };

/* Addresses: field by field away from the first, the six roles first. */
typedef struct address {
    relation field;
    dither_draw draw;
} address;

typedef struct matrices {
    uint8_t bit[ADDRESSES][DITHER_CASE_SIZE];
} matrices;

static void list_addresses(uint64_t seed, address list[ADDRESSES])
{
    const dither_draw base = {.seed = seed, .step = 7, .microbatch = 3, .tensor = 20};
    for (size_t i = 0; i < ADDRESSES; i++)
        list[i] = (address){.field = ROLES, .draw = base};
    for (uint32_t role = 0; role < DITHER_ROLES; role++)
        list[role].draw.role = role;
    list[6].draw.step++;
    list[7].draw.step += 1u << 16;
    list[8].draw.microbatch++;
    list[9].draw.microbatch += 1u << 11;
    list[10].draw.tensor++;
    list[11].draw.tensor += 1u << 15;
    list[12].draw.seed++;
    list[13].draw.seed ^= UINT64_C(1) << 32;
    for (size_t i = 6; i < ADDRESSES; i++)
        list[i].field = (relation)(STEPS + (i - 6) / 2);
}

/* What two addresses differ in. */
static relation between(const address *list, size_t a, size_t b)
{
    if (list[a].field == list[b].field)
        return list[a].field;
    return a == 0 ? list[b].field : MIXED;
}

/* Agreements of two matrices, the second read `down` rows and `right` columns further on; element 0 is no draw. */
static double agreement(const uint8_t *a, const uint8_t *b, size_t down, size_t right)
{
    uint64_t same = 0, n = 0;
    for (size_t i = 0; i + down < DITHER_CASE_ROWS; i++) {
        const uint8_t *p = a + i * DITHER_CASE_COLS, *q = b + (i + down) * DITHER_CASE_COLS + right;
        for (size_t j = i == 0 ? 1 : 0; j + right < DITHER_CASE_COLS; j++)
            same += p[j] == q[j];
        n += DITHER_CASE_COLS - right - (i == 0 ? 1 : 0);
    }
    return dither_score_even(same, n);
}

static void compare(const matrices *m, const address *list, dither_selftest_tally *tally)
{
    static const size_t apart[][2] = {{0, 1},  {0, 2},  {0, 3},   {0, 4},   {0, 8}, {0, 16}, {0, 32},
                                      {0, 64}, {0, 96}, {0, 128}, {0, 256}, {1, 0}, {2, 0},  {3, 0}};
    for (size_t a = 0; a < ADDRESSES; a++) {
        for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++)
            dither_tally_score(&tally[NEIGHBOURS], agreement(m->bit[a], m->bit[a], apart[i][0], apart[i][1]));
        for (size_t b = a + 1; b < ADDRESSES; b++) {
            dither_tally_score(&tally[between(list, a, b)], agreement(m->bit[a], m->bit[b], 0, 0));
            dither_tally_score(&tally[MIXED], agreement(m->bit[a], m->bit[b], 1, 0));
            dither_tally_score(&tally[MIXED], agreement(m->bit[a], m->bit[b], 0, 1));
        }
    }
}

/* Each row of each matrix, and each column of all of them together. */
static void count_lines(const matrices *m, dither_selftest_tally *tally)
{
    uint64_t column[DITHER_CASE_COLS] = {0};
    for (size_t a = 0; a < ADDRESSES; a++)
        for (size_t i = 0; i < DITHER_CASE_ROWS; i++) {
            uint64_t row = 0;
            for (size_t j = i == 0 ? 1 : 0; j < DITHER_CASE_COLS; j++) {
                row += m->bit[a][i * DITHER_CASE_COLS + j];
                column[j] += m->bit[a][i * DITHER_CASE_COLS + j];
            }
            dither_tally_score(&tally[ROWS], dither_score_even(row, DITHER_CASE_COLS - (i == 0 ? 1 : 0)));
        }
    for (size_t j = 0; j < DITHER_CASE_COLS; j++)
        dither_tally_score(&tally[COLUMNS],
                           dither_score_even(column[j], (uint64_t)(ADDRESSES * (DITHER_CASE_ROWS - (j == 0 ? 1 : 0)))));
}

/* The bits of all addresses, each of them also against the draw that its address says. */
static void observe(const dither_selftest_run *run, size_t kernel, int bits, const address *list,
                    dither_case_room *room, matrices *m, dither_selftest_tally *tally)
{
    for (size_t a = 0; a < ADDRESSES; a++) {
        char text[DITHER_QUANTIZER_TEXT];
        snprintf(text, sizeof text, "int8/tensor:sr%d", bits);
        dither_case c = {.axis = DITHER_AXIS_COLS, .draw = list[a].draw, .fill = DITHER_CASE_HALVES};
        uint64_t clipped = 0;
        bool right = true;
        if (dither_quantizer_parse(text, &c.quantizer, NULL) != DITHER_OK)
            continue;
        dither_case_make(&c, room);
        if (kernel == 0)
            dither_case_define(&c, room);
        else if (!dither_case_pack(&c, run->subject->rows[kernel - 1], room, &clipped, &right))
            right = false;
        for (size_t at = 0; at < DITHER_CASE_SIZE; at++) {
            m->bit[a][at] = room->got[at] != 0.0f;
            dither_tally_equal(&tally[list[a].field], right && room->got[at] == room->wanted[at]);
        }
    }
}

dither_status dither_selftest_draws(dither_selftest_run *run)
{
    dither_arena arena;
    const size_t room_bytes = dither_align_up(dither_case_bytes());
    const dither_status status = dither_arena_open(&arena, room_bytes + sizeof(matrices));
    if (status != DITHER_OK)
        return status;
    dither_case_room room = dither_case_room_of(arena.base);
    matrices *m = (matrices *)(void *)(arena.base + room_bytes);
    address list[ADDRESSES];
    list_addresses(run->options.seed, list);
    for (size_t k = 0; k == 0 || run->subject->rows[k - 1] != NULL; k++) {
        dither_selftest_tally tally[RELATIONS] = {{0}};
        for (int bits = 1; bits <= BITS_MOST; bits++) {
            observe(run, k, bits, list, &room, m, tally);
            compare(m, list, tally);
            count_lines(m, tally);
        }
        for (int r = 0; r < RELATIONS; r++) {
            char name[64];
            snprintf(name, sizeof name, "draws %s %s", k == 0 ? "src" : run->subject->rows[k - 1]->isa,
                     relation_names[r]);
            dither_selftest_say(run, name, relation_texts[r], &tally[r]);
        }
    }
    dither_arena_close(&arena);
    return DITHER_OK;
}
