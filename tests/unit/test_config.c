#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/config.h"
#include "temporary.h"

static const dither_model_config small = {.layers = 4, .heads = 6, .kv_heads = 3, .head_dim = 20, .dim = 128,
                                          .ffn = 352, .vocab = 256, .ctx = 64, .rope_base = 10000,
                                          .norm_eps = 1e-5, .tied = true};

static void expect_equal(const dither_model_config *a, const dither_model_config *b)
{
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->dim, b->dim);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->ctx, b->ctx);
    assert_true(a->rope_base == b->rope_base);
    assert_true(a->norm_eps == b->norm_eps);
    assert_int_equal(a->tied, b->tied);
}

static dither_status read_text(const char *text, dither_model_config *config, dither_error *error)
{
    temporary_write(temporary_path(temporary_folder, "config.json"), text, strlen(text));
    return dither_config_read(temporary_folder, config, error);
}

#define SIZES                                                                                                          \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"            \
    "\"vocab_size\": 256, \"max_position_embeddings\": 32"

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const double numbers[] = {1e-5, 1e-6, 0.1, 1.0 / 3, 1e-300, 5e5, 1e300, 10000, 123456789.0,
                                     9.999999999999999};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        dither_model_config config = small, again;
        config.norm_eps = numbers[i];
        config.rope_base = numbers[sizeof numbers / sizeof *numbers - 1 - i];
        config.tied = i % 2 == 0;
        assert_int_equal(dither_config_write(temporary_folder, &config, "float32", NULL, NULL), DITHER_OK);
        assert_int_equal(dither_config_read(temporary_folder, &again, NULL), DITHER_OK);
        expect_equal(&config, &again);
    }
}

static void the_dtype_is_named(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const char *type = bf16 ? "bfloat16" : "float32";
        assert_int_equal(dither_config_write(temporary_folder, &small, type, NULL, NULL), DITHER_OK);
        size_t size;
        char *text = (char *)temporary_read(temporary_path(temporary_folder, "config.json"), &size);
        text[size] = '\0';
        assert_non_null(strstr(text, bf16 ? "\"torch_dtype\": \"bfloat16\"" : "\"torch_dtype\": \"float32\""));
        assert_non_null(strstr(text, "\"rope_theta\": 10000.0"));
        free(text);
    }
}

static void absent_keys_have_the_defaults_of_transformers(void **state)
{
    (void)state;
    static const dither_model_config expected = {.layers = 2, .heads = 4, .kv_heads = 4, .head_dim = 16, .dim = 64,
                                                 .ffn = 96, .vocab = 256, .ctx = 32, .rope_base = 10000,
                                                 .norm_eps = 1e-6, .tied = false};
    dither_model_config config;
    assert_int_equal(read_text("{\"model_type\": \"llama\", " SIZES "}", &config, NULL), DITHER_OK);
    expect_equal(&config, &expected);
    assert_int_equal(read_text("{\"model_type\": \"llama\", \"head_dim\": null, \"rope_scaling\": null,"
                               "\"use_cache\": true, \"pretraining_tp\": 1, \"whatever\": [1], " SIZES "}",
                               &config, NULL), DITHER_OK);
    expect_equal(&config, &expected);
    assert_int_equal(read_text("{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_type\": \"default\","
                               "\"rope_theta\": 500000.0}, " SIZES "}", &config, NULL), DITHER_OK);
    assert_true(config.rope_base == 500000);
}

static void what_changes_the_result_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text;
    } cases[] = {
        {"hidden_act", "\"hidden_act\": \"gelu\""},
        {"attention_bias", "\"attention_bias\": true"},
        {"mlp_bias", "\"mlp_bias\": true"},
        {"rope_scaling", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}"},
        {"rope_scaling", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}"},
        {"rope_type", "\"rope_scaling\": {\"rope_type\": 3}"},
        {"rope_parameters", "\"rope_parameters\": {\"rope_type\": \"yarn\"}"},
        {"sliding_window", "\"sliding_window\": 4096"},
        {"pretraining_tp", "\"pretraining_tp\": 2"},
        {"quantization_config", "\"quantization_config\": {\"bits\": 4}"},
        {"partial_rotary_factor", "\"partial_rotary_factor\": 0.5"},
        {"rope_theta", "\"rope_theta\": 0"},
        {"rope_theta", "\"rope_theta\": 1e999"},
        {"rms_norm_eps", "\"rms_norm_eps\": -1e-5"},
        {"rms_norm_eps", "\"rms_norm_eps\": \"1e-5\""},
        {"tie_word_embeddings", "\"tie_word_embeddings\": 1"},
        {"num_key_value_heads", "\"num_key_value_heads\": 0"},
        {"num_key_value_heads", "\"num_key_value_heads\": 4294967296"},
        {"head_dim", "\"head_dim\": 1.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"model_type\": \"llama\", %s, " SIZES "}", cases[i].text);
        dither_model_config config;
        dither_error error;
        if (read_text(text, &config, &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", cases[i].text);
        assert_string_equal(error.where, temporary_path(temporary_folder, "config.json"));
        if (strstr(error.text, cases[i].key) == NULL)
            fail_msg("%s is not named in: %s", cases[i].key, error.text);
    }
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "x", "[]", "3", "{}", "{\"model_type\": \"llama\"}", "{" SIZES "}", "{\"model_type\": 3, " SIZES "}",
        "{\"model_type\": \"gpt2\", " SIZES "}",
        "{\"model_type\": \"llama\", \"hidden_size\": 63, \"intermediate_size\": 9, \"num_hidden_layers\": 1,"
        "\"num_attention_heads\": 4, \"vocab_size\": 2, \"max_position_embeddings\": 1}",
        "{\"model_type\": \"llama\", \"model_type\": \"llama\", " SIZES "}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dither_model_config config;
        dither_error error;
        if (read_text(bad[i], &config, &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(unlink(temporary_path(temporary_folder, "config.json")), 0);
    dither_model_config config;
    assert_int_equal(dither_config_read(temporary_folder, &config, NULL), DITHER_E_IO);
    const char *none = temporary_path(temporary_folder, "none");
    assert_int_equal(dither_config_write(none, &small, "float32", NULL, NULL), DITHER_E_IO);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "config.json");
    assert_int_equal(dither_config_write(temporary_folder, &small, "float32", NULL, NULL), DITHER_OK);
    size_t size;
    unsigned char *bytes = temporary_read(path, &size);
    for (size_t cut = 0; cut < size - 2; cut++) { /* the last two bytes are } and a line's end */
        temporary_write(path, bytes, cut);
        dither_model_config config;
        assert_int_equal(dither_config_read(temporary_folder, &config, NULL), DITHER_E_FORMAT);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_dtype_is_named),
        cmocka_unit_test(absent_keys_have_the_defaults_of_transformers),
        cmocka_unit_test(what_changes_the_result_is_refused_by_name),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(every_prefix_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
