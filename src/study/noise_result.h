/* Memory of the results in dither/noise.h, for those who measure them. */
#ifndef DITHER_STUDY_NOISE_RESULT_H
#define DITHER_STUDY_NOISE_RESULT_H

#include "dither/noise.h"

/** Results of which none has been measured. @return NULL: no memory */
dither_noise *dither_noise_new(const dither_model_config *config, size_t batch_count);

/** dither_noise_at, to be written. */
dither_noise_cell *dither_noise_cell_of(dither_noise *noise, size_t batch, size_t part, size_t place);

#endif
