/* Learning rate schedules. */
#include <math.h>

#include "dither/train.h"

double dither_train_lr(const dither_train_options *o, uint64_t step)
{
    const double low = o->min_lr < 0 ? o->lr / 10 : o->min_lr;
    if (step <= o->warmup)
        return o->lr * (double)step / (double)o->warmup;
    const double length = (double)(o->steps - o->warmup);
    const double done = (double)(step - o->warmup) / length; /* above 0, 1 at the last step */
    switch (o->schedule) {
    case DITHER_SCHEDULE_COSINE: return low + (o->lr - low) * 0.5 * (1 + cos(3.14159265358979323846 * done));
    case DITHER_SCHEDULE_LINEAR: return o->lr + (low - o->lr) * done;
    case DITHER_SCHEDULE_CONSTANT: return o->lr;
    case DITHER_SCHEDULE_WSD: return done < 0.8 ? o->lr : o->lr + (low - o->lr) * (done - 0.8) / 0.2;
    }
    return o->lr;
}
