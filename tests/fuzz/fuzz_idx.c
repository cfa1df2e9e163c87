/* Any bytes as an IDX file, packed or not: refused with words, or as many bytes as its sizes say. */
#include "data/idx.h"

#include <stdlib.h>

#include "folder_input.h"
#include "target.h"

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const folder = folder_input("idx", data, size);
    for (size_t dims = 1; dims <= DITHER_IDX_DIMS; dims++) {
        dither_idx idx;
        dither_error error = {.status = DITHER_OK};
        const dither_status status = dither_idx_read(folder, "idx", dims, &idx, &error);
        require(status == DITHER_OK || (error.status == status && error.text[0] != '\0' && !idx.bytes));
        if (status != DITHER_OK)
            continue;
        size_t count = 1, sum = 0;
        require(idx.dims == dims);
        for (size_t i = 0; i < dims; i++)
            count *= idx.dim[i];
        for (size_t i = 0; i < count; i++)
            sum += idx.bytes[i];
        require(count > 0 && sum <= 255 * count);
        dither_idx_close(&idx);
    }
    return 0;
}
