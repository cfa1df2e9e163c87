#include "data/encoder.h"

#include <stdlib.h>
#include <string.h>

struct dither_encoder {
    const dither_encoding *encoding;
    dither_bpe_scratch *bpe;
    dither_pretokenizer_walk *walk;
    dither_normalizer_scratch normalizer, before;
    dither_id_sink *sink;
    bool special;
};

void dither_encoding_close(dither_encoding *encoding)
{
    dither_bpe_close(&encoding->bpe);
    dither_added_tokens_close(encoding->added);
    dither_added_tokens_close(encoding->normalized);
    dither_normalizer_close(encoding->normalizer);
    dither_normalizer_close(encoding->before);
    dither_pretokenizer_close(encoding->pretokenizer);
    *encoding = (dither_encoding){0};
}

void dither_encoding_find_cut(dither_encoding *encoding)
{
    static const char mark[] = "\xe2\x96\x81";
    enum { MARK = sizeof mark - 1 };
    const dither_vocabulary *v = &encoding->bpe.vocabulary;
    if (encoding->bpe.byte_level || encoding->bpe.whole_pieces ||
        dither_vocabulary_find(v, mark, MARK) == DITHER_NO_TOKEN)
        return;
    for (size_t id = 0; id < v->bound; id++) {
        const char *text = v->pool + v->start[id], *end = text + v->length[id];
        while (end - text >= MARK && memcmp(text, mark, MARK) == 0)
            text += MARK;
        if ((v->flags[id] & DITHER_TOKEN_MODEL) && memmem(text, (size_t)(end - text), mark, MARK) != NULL)
            return;
    }
    encoding->cut = mark;
}

dither_encoder *dither_encoder_open(const dither_encoding *encoding, size_t length)
{
    dither_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL)
        return NULL;
    encoder->encoding = encoding;
    encoder->bpe = dither_bpe_scratch_open(length);
    encoder->walk = dither_pretokenizer_walk_open(encoding->pretokenizer);
    if (encoder->bpe != NULL && encoder->walk != NULL)
        return encoder;
    dither_encoder_close(encoder);
    return NULL;
}

void dither_encoder_close(dither_encoder *encoder)
{
    if (encoder == NULL)
        return;
    dither_bpe_scratch_close(encoder->bpe);
    dither_pretokenizer_walk_close(encoder->walk);
    dither_normalizer_scratch_close(&encoder->normalizer);
    dither_normalizer_scratch_close(&encoder->before);
    free(encoder);
}

/* A piece, cut in front of `cut` where nothing can merge across. */
static bool encode_piece(dither_encoder *encoder, const char *piece, size_t length)
{
    const dither_encoding *e = encoder->encoding;
    const size_t mark = e->cut != NULL ? strlen(e->cut) : 0;
    size_t from = 0;
    for (size_t at = mark; mark > 0 && at + mark <= length; at++) {
        const char *next = memmem(piece + at, length - at, e->cut, mark);
        if (next == NULL)
            break;
        at = (size_t)(next - piece);
        if (memcmp(next - mark, e->cut, mark) == 0)
            continue;
        if (!dither_bpe_encode(&e->bpe, encoder->bpe, piece + from, at - from, encoder->sink))
            return false;
        from = at;
    }
    return from == length || dither_bpe_encode(&e->bpe, encoder->bpe, piece + from, length - from, encoder->sink);
}

/* What lies between added tokens, normalized. */
static bool encode_plain(dither_encoder *encoder, const char *text, size_t length, bool first)
{
    const dither_encoding *e = encoder->encoding;
    size_t at, size;
    if (!dither_normalizer_apply(e->before, &encoder->before, first, &text, &length) ||
        !dither_pretokenizer_start(encoder->walk, text, length))
        return false;
    while (dither_pretokenizer_next(encoder->walk, &at, &size))
        if (!encode_piece(encoder, text + at, size))
            return false;
    return true;
}

typedef bool encode_part(dither_encoder *encoder, const char *text, size_t length, bool first);

/* Added tokens, and by `part` what lies between them. */
static bool encode_around(dither_encoder *encoder, const dither_added_tokens *added, encode_part *part,
                          const char *text, size_t length, bool first)
{
    size_t from = 0;
    while (from < length) {
        size_t begin = length, end = length;
        const dither_added_token *token =
            dither_added_tokens_find(added, encoder->special, text, length, from, &begin, &end);
        if (begin > from && !part(encoder, text + from, begin - from, first && from == 0))
            return false;
        if (token != NULL)
            dither_id_sink_add(encoder->sink, token->id);
        from = end;
    }
    return true;
}

static bool encode_normalized(dither_encoder *encoder, const char *text, size_t length, bool first)
{
    const dither_encoding *e = encoder->encoding;
    return dither_normalizer_apply(e->normalizer, &encoder->normalizer, first, &text, &length) &&
           encode_around(encoder, e->normalized, encode_plain, text, length, first);
}

bool dither_encoder_run(dither_encoder *encoder, const char *text, size_t length, bool special, dither_id_sink *sink)
{
    encoder->sink = sink;
    encoder->special = special;
    return encode_around(encoder, encoder->encoding->added, encode_normalized, text, length, true);
}
