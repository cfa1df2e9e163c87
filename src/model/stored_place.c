#include "model/stored_place.h"

#include <stdio.h>
#include <string.h>
dither_status dither_place_config(const dither_gguf *gguf, dither_model_config *config, dither_error *error)
{
    const struct { const char *key; size_t *value; } sizes[] = {{"llama.block_count", &config->layers}, {"llama.attention.head_count", &config->heads}, {"llama.attention.head_count_kv", &config->kv_heads}, {"llama.embedding_length", &config->dim}, {"llama.feed_forward_length", &config->ffn}, {"llama.context_length", &config->ctx}};
    *config = (dither_model_config){0};
    for (size_t i = 0; i < 6; i++) { uint64_t v; dither_status s = dither_gguf_u64(gguf, sizes[i].key, 1, 1 << 30, &v, NULL, error); if (s) return s; *sizes[i].value = (size_t)v; }
    config->head_dim = config->dim / config->heads;
    config->rope_base = 10000;
    bool found;
    dither_status s = dither_gguf_f64(gguf, "llama.rope.freq_base", &config->rope_base, &found, error);
    if (!s) s = dither_gguf_f64(gguf, "llama.attention.layer_norm_rms_epsilon", &config->norm_eps, NULL, error);
    if (s) return s;
    config->tied = !dither_gguf_find(gguf, "output.weight");
    config->vocab = (size_t)dither_gguf_find(gguf, "token_embd.weight")->shape[1];
    return DITHER_OK;
}

dither_status dither_network_extend(dither_network *network, const dither_context *context, bool exact,
                                    dither_cache *cache, size_t position, size_t count, const uint32_t *ids,
                                    float *logits, dither_error *error)
{
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = dither_network_decode(network, context, exact, cache, position + i, ids[i],
                                       i + 1 == count ? logits : NULL, error);
    return status;
}
