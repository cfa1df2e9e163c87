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
    require(again.layers == config.layers && again.heads == config.heads && again.kv_heads == config.kv_heads &&
            again.head_dim == config.head_dim && again.dim == config.dim && again.ffn == config.ffn &&
            again.vocab == config.vocab && again.ctx == config.ctx && again.tied == config.tied);
    require(again.rope_base == config.rope_base && again.norm_eps == config.norm_eps);
    return 0;
}
