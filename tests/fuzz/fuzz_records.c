/* Any bytes as a file of records: refused with file and line, or records whose packing loses nothing. */
#include "dither/records.h"

#include <stdlib.h>
#include <string.h>

#include "data/packer.h"
#include "folder_input.h"
#include "target.h"

enum { SEQ = 32 };

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_packing(const dither_records *records)
{
    dither_packer packing;
    dither_error error = {.status = DITHER_OK};
    const dither_packer_options options = {.seq = SEQ, .shuffled = true, .seed = 1};
    const dither_status status = dither_packer_open(&packing, records, &options, &error);
    require(status == DITHER_OK || error.text[0] != '\0');
    uint64_t trained = 0;
    for (size_t n = 0; status == DITHER_OK && n < packing.sequences; n++) {
        uint32_t ids[SEQ], targets[SEQ], positions[SEQ], first[SEQ];
        dither_packer_row(&packing, n, ids, targets, positions, first);
        for (size_t t = 0; t < SEQ; t++) {
            require(ids[t] < 256 && first[t] <= t && (t == 0 || first[t] >= first[t - 1]) && positions[t] <= t);
            trained += targets[t] != UINT32_MAX;
        }
    }
    require(status != DITHER_OK || trained == packing.packed.trained);
    dither_packer_close(&packing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256];
    dither_tokenizer *tokenizer;
    dither_records *records;
    dither_error error = {.status = DITHER_OK};
    snprintf(path, sizeof path, "%s/in.jsonl", folder_input("in.jsonl", data, size));
    const char *const paths[] = {path};
    const dither_records_options options = {.chat_format = size % 2 ? "chatml" : "llama-2",
                                            .fields = size % 5 ? NULL : "a,b"};
    require(dither_tokenizer_bytes(&tokenizer, NULL) == DITHER_OK);
    const dither_status status = dither_records_open(&records, paths, 1, &options, tokenizer, &error);
    if (status == DITHER_OK) {
        require(dither_records_count(records) > 0);
        require(dither_records_trained(records) <= dither_records_tokens(records));
        check_packing(records);
        dither_records_close(records);
    } else {
        require(records == NULL && error.status == status && error.where[0] != '\0' && error.text[0] != '\0');
    }
    dither_tokenizer_close(tokenizer);
    return 0;
}
