/* Models of several safetensors files: found by name whatever file holds them; an index that is wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/safetensors_shards.h"
#include "temporary.h"

static const float values[] = {1, 2, 3, 4};

/* One shard of the tensors whose names are the letters of `names`, of `i + 1` values each. */
static void write_shard(const char *file, const char *names)
{
    char texts[8][2] = {{0}};
    dither_safetensor_out out[8];
    const size_t count = strlen(names);
    for (size_t i = 0; i < count; i++) {
        texts[i][0] = names[i];
        out[i] = (dither_safetensor_out){.name = texts[i], .storage = DITHER_STORAGE_F32, .dims = 1,
                                         .shape = {i + 1}, .data = values};
    }
    assert_int_equal(dither_safetensors_write(temporary_path(temporary_folder, file), out, count, NULL, 0, NULL),
                     DITHER_OK);
}

static const char *write_index(const char *text)
{
    const char *path = temporary_path(temporary_folder, "model.safetensors.index.json");
    temporary_write(path, text, strlen(text));
    return path;
}

static void tensors_of_all_shards_are_found(void **state)
{
    (void)state;
    dither_shards *shards;
    dither_error error;
    write_shard("one.safetensors", "ca");
    write_shard("two.safetensors", "b");
    const char *index = write_index("{\"metadata\":{\"total_size\":3},\"weight_map\":{\"b\":\"two.safetensors\","
                                    "\"a\":\"one.safetensors\",\"c\":\"one.safetensors\"}}");
    const char *paths[] = {index, temporary_folder};
    for (size_t i = 0; i < 2; i++) {
        if (dither_shards_open(&shards, paths[i], &error) != DITHER_OK)
            fail_msg("%s: %s", error.where, error.text);
        assert_int_equal(dither_shards_count(shards), 3);
        assert_int_equal(dither_shards_files(shards), 2);
        assert_string_equal(dither_shards_at(shards, 0)->name, "c");
        assert_string_equal(dither_shards_at(shards, 2)->name, "b");
        const dither_safetensor *a = dither_shards_find(shards, "a"), *b = dither_shards_find(shards, "b");
        assert_int_equal(a->shape[0], 2);
        assert_int_equal(b->shape[0], 1);
        assert_memory_equal(a->data, values, 8);
        assert_non_null(strstr(dither_shards_path(shards, a), "/one.safetensors"));
        assert_non_null(strstr(dither_shards_path(shards, b), "/two.safetensors"));
        assert_null(dither_shards_find(shards, "d"));
        dither_shards_close(shards);
    }
    /* A single file beside an index is the model. */
    write_shard("model.safetensors", "x");
    assert_int_equal(dither_shards_open(&shards, temporary_folder, &error), DITHER_OK);
    assert_non_null(dither_shards_find(shards, "x"));
    assert_int_equal(dither_shards_count(shards), 1);
    dither_shards_close(shards);
    const char *single = temporary_path(temporary_folder, "model.safetensors");
    assert_int_equal(dither_shards_open(&shards, single, &error), DITHER_OK);
    assert_string_equal(dither_shards_path(shards, dither_shards_at(shards, 0)), single);
    assert_int_equal(dither_safetensors_count(dither_shards_file(shards, 0)), 1);
    dither_shards_close(shards);
    unlink(single);
    assert_int_equal(dither_shards_open(&shards, temporary_path(temporary_folder, "none"), &error), DITHER_E_IO);
}

static void wrong_indexes_are_refused(void **state)
{
    (void)state;
    write_shard("one.safetensors", "ca");
    write_shard("two.safetensors", "b");
    write_shard("three.safetensors", "ad");
#define ONE "\"a\":\"one.safetensors\",\"c\":\"one.safetensors\""
    static const struct {
        const char *index;
        dither_status status;
        const char *where, *words;
    } cases[] = {
        {"{}", DITHER_E_FORMAT, "index.json", "weight_map"},
        {"[]", DITHER_E_FORMAT, "index.json", "weight_map"},
        {"{\"weight_map\":{}}", DITHER_E_FORMAT, "index.json", "weight_map"},
        {"{\"weight_map\":[\"one.safetensors\"]}", DITHER_E_FORMAT, "index.json", "weight_map"},
        {"{\"weight_map\":{\"a\":1}}", DITHER_E_FORMAT, "index.json", "the name of a file"},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", DITHER_E_FORMAT, "index.json", "beside the index"},
        {"{\"weight_map\":{\"a\":\"/etc/one.safetensors\"}}", DITHER_E_FORMAT, "index.json", "beside the index"},
        {"{\"weight_map\":{\"a\":\"..\\\\one.safetensors\"}}", DITHER_E_FORMAT, "index.json", "beside the index"},
        {"{\"weight_map\":{\"a\":\".safetensors\"}}", DITHER_E_FORMAT, "index.json", "beside the index"},
        {"{\"weight_map\":{\"a\":\"\"}}", DITHER_E_FORMAT, "index.json", "beside the index"},
        {"{\"weight_map\":{\"a\":\"one.bin\"}}", DITHER_E_FORMAT, "index.json", "ends in .safetensors"},
        {"{\"weight_map\":{\"a\":\"o\\u0007.safetensors\"}}", DITHER_E_FORMAT, "index.json", "name of a file"},
        {"{\"weight_map\":{" ONE ",\"x\":\"four.safetensors\"}}", DITHER_E_IO, "index.json",
         "shard four.safetensors is missing"},
        {"{\"weight_map\":{" ONE ",\"b\":\"one.safetensors\"}}", DITHER_E_FORMAT, "index.json",
         "tensor b is not in its shard one.safetensors"},
        {"{\"weight_map\":{\"c\":\"one.safetensors\"}}", DITHER_E_FORMAT, "one.safetensors",
         "tensor a is not in the index model.safetensors.index.json"},
        {"{\"weight_map\":{" ONE ",\"d\":\"three.safetensors\"}}", DITHER_E_FORMAT, "three.safetensors",
         "tensor a belongs in one.safetensors"},
        {"{\"weight_map\":{" ONE ",\"a\":\"one.safetensors\"}}", DITHER_E_FORMAT, "index.json", "tensor a twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_shards *shards;
        dither_error error;
        const dither_status status = dither_shards_open(&shards, write_index(cases[i].index), &error);
        if (status == DITHER_OK)
            fail_msg("accepted: %s", cases[i].index);
        if (status != cases[i].status || !strstr(error.where, cases[i].where) || !strstr(error.text, cases[i].words))
            fail_msg("%s: '%s: %s'", cases[i].index, error.where, error.text);
        assert_null(shards);
    }
}

/* A shard that is no safetensors file says so by its own name. */
static void wrong_shards_are_refused(void **state)
{
    (void)state;
    dither_shards *shards;
    dither_error error;
    temporary_write(temporary_path(temporary_folder, "bad.safetensors"), "rubbish that is long enough", 27);
    const char *index = write_index("{\"weight_map\":{\"a\":\"bad.safetensors\"}}");
    assert_int_equal(dither_shards_open(&shards, index, &error), DITHER_E_FORMAT);
    assert_non_null(strstr(error.where, "bad.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_all_shards_are_found),
        cmocka_unit_test(wrong_indexes_are_refused),
        cmocka_unit_test(wrong_shards_are_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
