/* IDX files, the format of MNIST: a big-endian header of sizes and then bytes; packed by gzip or not. */
#ifndef DITHER_DATA_IDX_H
#define DITHER_DATA_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

enum { DITHER_IDX_DIMS = 4 };

typedef struct dither_idx {
    size_t dims;
    size_t dim[DITHER_IDX_DIMS];
    uint8_t *bytes; /* [dim[0]][dim[1]]..., on the heap */
} dither_idx;

/**
 * Read FOLDER/NAME or, where it is not there, FOLDER/NAME.gz; either may be packed.
 *
 * @param dims  how many dimensions there must be, 1 to DITHER_IDX_DIMS
 * @return DITHER_OK (close it) | DITHER_E_IO (neither is there) | DITHER_E_MEMORY (more than 2 GiB, or not there)
 *       | DITHER_E_FORMAT (other dimensions, other numbers than bytes, cut short, bytes beyond the end, a bad packing)
 */
DITHER_MUST_USE dither_status dither_idx_read(const char *folder, const char *name, size_t dims, dither_idx *idx,
                                              dither_error *error);
void dither_idx_close(dither_idx *idx);

#endif
