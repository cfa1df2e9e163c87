/* Any bytes as config.json: refused with words, or sizes inside their bounds that survive being written and read. */
#include "file/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "folder_input.h"
#include "target.h"

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_sizes(const dither_model_config *config)
{
    const size_t sizes[] = {config->layers, config->heads, config->kv_heads, config->head_dim,
                            config->dim,    config->ffn,   config->vocab,    config->ctx};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        require(sizes[i] >= 1 && sizes[i] <= (size_t)1 << 31);
    require(isfinite(config->rope_base) && config->rope_base > 0);
    require(isfinite(config->norm_eps) && config->norm_eps >= 0);
}

static void check_equal(const dither_model_config *a, const dither_model_config *b)
{
    require(a->layers == b->layers && a->heads == b->heads && a->kv_heads == b->kv_heads &&
            a->head_dim == b->head_dim && a->dim == b->dim && a->ffn == b->ffn && a->vocab == b->vocab &&
            a->ctx == b->ctx && a->tied == b->tied);
    require(a->rope_base == b->rope_base && a->norm_eps == b->norm_eps && a->architecture == b->architecture);
    require(a->norm == b->norm && a->activation == b->activation && a->post_norms == b->post_norms &&
            a->qk_norm == b->qk_norm && a->scaled_embedding == b->scaled_embedding &&
            a->learned_positions == b->learned_positions);
    require(a->qkv_bias == b->qkv_bias && a->o_bias == b->o_bias && a->mlp_bias == b->mlp_bias);
    require(a->attention_scalar == b->attention_scalar && a->rope_scaling == b->rope_scaling &&
            a->rope_factor == b->rope_factor && a->rope_low == b->rope_low && a->rope_high == b->rope_high &&
            a->rope_original == b->rope_original && a->rope_local_base == b->rope_local_base);
    require(a->window == b->window);
    for (size_t layer = 0; layer < a->layers; layer++)
        require(dither_model_windowed(a, layer) == dither_model_windowed(b, layer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *folder = folder_input("config.json", data, size);
    dither_model_config config, again;
    dither_error error = {.status = DITHER_OK};
    dither_status status = dither_config_read(folder, &config, &error);
    if (status != DITHER_OK) {
        require(error.status == status && error.text[0] != '\0');
        return 0;
    }
    check_sizes(&config);
    require(dither_config_write(folder, &config, "float32", NULL, &error) == DITHER_OK);
    require(dither_config_read(folder, &again, &error) == DITHER_OK);
    check_equal(&again, &config);
    return 0;
}
