/*
 * Parameters as files have them: every order of rows that a file may have, and models found in folders and GGUF files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/gguf.h"
#include "model/network.h"
#include "model/stored.h"
#include "model/weights.h"
#include "temporary.h"

enum { ROWS = 24, COLS = 64, HEADS = 3 };

static float value_at(size_t row, size_t col)
{
    return (float)((int)(row * 37 + col * 11) % 255 - 127) / 16; /* exact in every plain type */
}

/* ---- orders of rows ----------------------------------------------------------------------------------------- */

static void check_rows(const dither_stored *stored, bool plus_one)
{
    float x[ROWS * COLS];
    for (size_t first = 0; first < ROWS; first += 5) /* in pieces */
        dither_stored_rows(stored, first, ROWS - first < 5 ? ROWS - first : 5, x + first * COLS);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLS; j++)
            if (x[i * COLS + j] != value_at(i, j) + (plus_one ? 1 : 0))
                fail_msg("[%zu][%zu] is %g", i, j, (double)x[i * COLS + j]);
}

/* The file's row of our row i of a head of n: its halves take turns. Said the other way round than the code says it. */
static size_t ours_of(size_t file_row, size_t n)
{
    const size_t head = file_row / n, within = file_row % n;
    return head * n + (within % 2 ? n / 2 : 0) + within / 2;
}

static void rows_in_every_order(void **state)
{
    (void)state;
    const dither_block_type types[] = {DITHER_BLOCK_F32, DITHER_BLOCK_F16, DITHER_BLOCK_BF16, DITHER_BLOCK_Q8_0};
    unsigned char bytes[ROWS * COLS * 4 + 1];
    for (size_t k = 0; k < 4; k++) {
        const size_t stride = dither_block_row_bytes(types[k], COLS);
        for (size_t heads = 0; heads <= HEADS; heads += HEADS) {
            unsigned char *at = bytes + 1; /* files do not align anything */
            for (size_t r = 0; r < ROWS; r++) {
                float row[COLS];
                for (size_t j = 0; j < COLS; j++)
                    row[j] = value_at(heads ? ours_of(r, ROWS / HEADS) : r, j);
                if (types[k] == DITHER_BLOCK_Q8_0) /* a code's scale is 127 / 16 / 127 where the largest is there */
                    row[0] = row[32] = 127.0f / 16;
                dither_block_encode(types[k], COLS, row, at + r * stride, NULL, 0);
            }
            const dither_stored stored = {.type = types[k], .data = at, .rows = ROWS, .cols = COLS, .stride = stride,
                                          .interleaved = heads, .plus_one = true};
            if (types[k] != DITHER_BLOCK_Q8_0) {
                check_rows(&stored, true);
                assert_false(dither_stored_whole_rows(&stored));
            }
            dither_stored plain = stored;
            plain.plus_one = false;
            assert_true(dither_stored_whole_rows(&plain));
            float x[COLS], y[COLS];
            for (size_t r = 0; r < ROWS; r++) {
                dither_stored_rows(&plain, r, 1, x);
                dither_block_decode(types[k], COLS, dither_stored_row(&plain, r), y);
                assert_memory_equal(x, y, sizeof x);
                for (size_t j = 0; j < COLS; j++)
                    assert_true(x[j] == value_at(r, j) || (types[k] == DITHER_BLOCK_Q8_0 && j % 32 == 0));
            }
        }
    }
}

/* Rows of ours are columns of the file, from column 8 of 8 + ROWS + 3 on. */
static void transposed_columns(void **state)
{
    (void)state;
    enum { FROM = 8, WIDTH = FROM + ROWS + 3 };
    const dither_block_type types[] = {DITHER_BLOCK_F32, DITHER_BLOCK_F16, DITHER_BLOCK_BF16};
    static const size_t widths[] = {4, 2, 2};
    unsigned char bytes[WIDTH * COLS * 4];
    for (size_t k = 0; k < 3; k++) {
        const size_t stride = WIDTH * widths[k];
        for (size_t j = 0; j < COLS; j++) {
            float column[WIDTH] = {0};
            for (size_t i = 0; i < ROWS; i++)
                column[FROM + i] = value_at(i, j);
            dither_block_encode(types[k], WIDTH, column, bytes + j * stride, NULL, 0);
        }
        const dither_stored stored = {.type = types[k], .data = bytes + FROM * widths[k], .rows = ROWS, .cols = COLS,
                                      .stride = stride, .transposed = true};
        check_rows(&stored, false);
        assert_false(dither_stored_whole_rows(&stored));
    }
}

static void memory_is_stored_too(void **state)
{
    (void)state;
    float x[ROWS * COLS];
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = value_at(i / COLS, i % COLS);
    const dither_stored stored = dither_stored_f32(x, ROWS, COLS);
    check_rows(&stored, false);
}

/* ---- models ------------------------------------------------------------------------------------------------- */

static const char *const names[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3", "gpt2"};

/* A golden folder's config and table, and its weights as the reader of folders gives them. */
typedef struct model {
    char folder[512];
    dither_model_config config;
    dither_network network;
    dither_arena arena;
    float *block, *other; /* [elements] */
    dither_stored *stored;
} model;

static void open_golden(model *m, const char *name)
{
    dither_error error = {.text = ""};
    dither_scheme scheme;
    char path[600];
    dither_safetensors *file = NULL;
    *m = (model){.folder = ""};
    snprintf(m->folder, sizeof m->folder, "%s/architectures/%s", DITHER_TEST_DATA, name);
    assert_int_equal(dither_model_config_read(m->folder, &m->config, &error), DITHER_OK);
    assert_int_equal(dither_scheme_parse("f32", &scheme, NULL), DITHER_OK);
    m->arena = dither_arena_dry();
    assert_int_equal(dither_network_layout(&m->network, &m->config, &scheme, false, 1, 1, &m->arena), DITHER_OK);
    m->block = calloc(m->network.elements, sizeof(float));
    m->other = calloc(m->network.elements, sizeof(float));
    m->stored = calloc(m->network.table_count, sizeof *m->stored);
    assert_true(m->block && m->other && m->stored);
    if (dither_weights_open(&file, m->folder, path, sizeof path, &error) ||
        dither_weights_check(&m->network, file, NULL, path, &error))
        fail_msg("%s: %s", error.where, error.text);
    dither_weights_load(&m->network, file, NULL, m->block);
    dither_safetensors_close(file);
}

static void close_golden(model *m)
{
    dither_network_free(&m->network);
    free(m->block);
    free(m->other);
    free(m->stored);
}

static dither_status find_in(model *m, const char *path, dither_source **source, dither_error *error)
{
    const dither_status status = dither_source_open(source, path, error);
    return status ? status : dither_source_find(*source, &m->config, m->network.table, m->network.table_count,
                                                m->stored, error);
}

static void folders_of_every_architecture(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        model m;
        dither_source *source = NULL;
        dither_error error = {.text = ""};
        open_golden(&m, names[n]);
        if (find_in(&m, m.folder, &source, &error))
            fail_msg("%s: %s", error.where, error.text);
        assert_null(dither_source_gguf(source));
        dither_stored_load(m.network.table, m.network.table_count, m.stored, m.other, 3);
        assert_memory_equal(m.block, m.other, m.network.elements * sizeof(float));
        dither_source_close(source);
        close_golden(&m);
    }
}

/* What a test changes in the file that it writes. */
typedef struct file_change {
    const char *name; /* of a tensor, or of one more */
    bool omit, wider, more;
    const char *says;
} file_change;

static void describe(const model *m, dither_gguf_writer *writer, const file_change *change)
{
    for (size_t i = 0; i < m->network.table_count; i++) {
        const dither_parameter *row = &m->network.table[i];
        const bool changed = change && !strcmp(change->name, row->gguf.name);
        const uint64_t shape[2] = {row->cols + (changed && change->wider ? 1 : 0), row->rows};
        if (!(changed && change->omit))
            dither_gguf_writer_tensor(writer, row->gguf.name, DITHER_BLOCK_F32, row->vector ? 1 : 2, shape);
    }
    if (change && change->more)
        dither_gguf_writer_tensor(writer, change->name, DITHER_BLOCK_F32, 1, &(uint64_t){1});
}

/* A row of the file's tensor: ours that the place says. */
static void write_rows(const model *m, dither_gguf_writer *writer, const dither_parameter *row, bool wider)
{
    const dither_parameter_place *place = &row->gguf;
    const size_t rows = row->vector ? row->cols : row->rows, cols = row->vector ? 1 : row->cols;
    const float zero = 0;
    for (size_t r = 0; r < rows; r++) {
        const size_t ours = place->heads ? ours_of(r, rows / place->heads) : r;
        assert_false(place->plus_one || place->transposed || place->from); /* no GGUF file has these */
        assert_int_equal(dither_gguf_writer_data(writer, m->block + row->offset + ours * cols, cols * sizeof(float),
                                                 NULL), DITHER_OK);
        if (wider && (!row->vector || r + 1 == rows))
            assert_int_equal(dither_gguf_writer_data(writer, &zero, sizeof zero, NULL), DITHER_OK);
    }
}

static void write_gguf(const model *m, const char *path, const file_change *change)
{
    dither_gguf_writer *writer;
    const float zero = 0;
    assert_int_equal(dither_gguf_writer_open(&writer, path, NULL), DITHER_OK);
    dither_gguf_writer_string(writer, "general.architecture", "llama", 5);
    describe(m, writer, change);
    for (size_t i = 0; i < m->network.table_count; i++) {
        const dither_parameter *row = &m->network.table[i];
        const bool changed = change && !strcmp(change->name, row->gguf.name);
        if (!(changed && change->omit))
            write_rows(m, writer, row, changed && change->wider);
    }
    if (change && change->more)
        assert_int_equal(dither_gguf_writer_data(writer, &zero, sizeof zero, NULL), DITHER_OK);
    assert_int_equal(dither_gguf_writer_commit(writer, NULL), DITHER_OK);
}

static void gguf_files_have_an_order_of_their_own(void **state)
{
    (void)state;
    static const char *const whole[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3"};
    const char *path = temporary_path(temporary_folder, "model.gguf");
    for (size_t n = 0; n < sizeof whole / sizeof whole[0]; n++) {
        model m;
        dither_source *source = NULL;
        dither_error error = {.text = ""};
        open_golden(&m, whole[n]);
        write_gguf(&m, path, NULL);
        if (find_in(&m, path, &source, &error))
            fail_msg("%s: %s: %s", whole[n], error.where, error.text);
        assert_non_null(dither_source_gguf(source));
        dither_stored_load(m.network.table, m.network.table_count, m.stored, m.other, 2);
        assert_memory_equal(m.block, m.other, m.network.elements * sizeof(float));
        dither_source_close(source);
        close_golden(&m);
    }
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    const file_change changes[] = {
        {.name = "blk.1.attn_k.weight", .omit = true, .says = "no tensor"},
        {.name = "output_norm.weight", .wider = true, .says = "17; this model's is 16"},
        {.name = "blk.0.ffn_down.weight", .wider = true, .says = "16x21; this model's is 16x20"},
        {.name = "blk.0.ffn_gate_inp.weight", .more = true, .says = "not part of"},
    };
    const char *path = temporary_path(temporary_folder, "wrong.gguf");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        model m;
        dither_source *source = NULL;
        dither_error error = {.text = ""};
        open_golden(&m, "llama");
        write_gguf(&m, path, &changes[i]);
        assert_int_equal(find_in(&m, path, &source, &error), DITHER_E_SHAPE);
        assert_non_null(strstr(error.text, changes[i].name));
        assert_non_null(strstr(error.text, changes[i].says));
        assert_string_equal(error.where, path);
        dither_source_close(source);
        close_golden(&m);
    }
}

/* A table of angles is no parameter: the config was read from it. */
static void what_is_no_parameter_may_be_there(void **state)
{
    (void)state;
    const file_change more = {.name = "rope_freqs.weight", .more = true};
    const char *path = temporary_path(temporary_folder, "more.gguf");
    model m;
    dither_source *source = NULL;
    open_golden(&m, "llama");
    write_gguf(&m, path, &more);
    assert_int_equal(find_in(&m, path, &source, NULL), DITHER_OK);
    dither_source_close(source);
    close_golden(&m);
}

static void nothing_there_is_an_error(void **state)
{
    (void)state;
    dither_source *source;
    dither_error error;
    assert_int_equal(dither_source_open(&source, temporary_path(temporary_folder, "none.gguf"), &error), DITHER_E_IO);
    assert_null(source);
    assert_non_null(strstr(error.where, "none.gguf"));
    assert_int_equal(dither_source_open(&source, temporary_path(temporary_folder, "none"), &error), DITHER_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_every_order),
        cmocka_unit_test(transposed_columns),
        cmocka_unit_test(memory_is_stored_too),
        cmocka_unit_test(folders_of_every_architecture),
        cmocka_unit_test(gguf_files_have_an_order_of_their_own),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(what_is_no_parameter_may_be_there),
        cmocka_unit_test(nothing_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
