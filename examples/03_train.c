/*
 * Train a language model on a text, and watch it learn.
 *
 * dither_train() goes from options to a model folder; what happens on the way comes as events to a function of ours.
 * Writes 03_train.txt and 03_train.model here; a model folder that is there already is not overwritten but refused.
 */
#include <dither/dither.h>
#include <math.h>
#include <stdio.h>

/* Sentences that differ in two digits: easy to learn but for those. */
static bool write_text(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    for (int i = 0; i < 600; i++)
        fprintf(file, "and %d times %d is counted once more;\n", i % 7, i * i % 11);
    return fclose(file) == 0;
}

struct losses {
    double first, last, held_out; /* nats a token */
};

static void report(void *context, const dither_event *event)
{
    struct losses *losses = context;
    switch (event->kind) {
    case DITHER_EVENT_START:
        printf("%llu parameters, scheme %s\n", (unsigned long long)event->parameters, event->scheme);
        break;
    case DITHER_EVENT_STEP:
        if (event->step == 1)
            losses->first = event->loss;
        losses->last = event->loss;
        break;
    case DITHER_EVENT_CHECKPOINT:
        printf("step %llu of %llu is saved\n", (unsigned long long)event->step, (unsigned long long)event->steps);
        break;
    case DITHER_EVENT_END:
        losses->held_out = event->val_loss;
        break;
    default:
        break;
    }
}

int main(void)
{
    const char *data[] = {"03_train.txt"};
    struct losses losses = {0};
    dither_train_options options;
    dither_error error;

    dither_train_options_init(&options);
    options.new_model = "layers=1,heads=2,dim=32,ctx=32";
    options.data = data;
    options.data_count = 1;
    options.out = "03_train.model";
    options.scheme = "paper-int8";
    options.steps = 150;
    options.save_every = 50;
    options.lr = 1e-2;
    if (!write_text(data[0])) {
        perror(data[0]);
        return 1;
    }
    if (dither_train(&options, report, &losses, NULL, &error) != DITHER_OK) {
        fprintf(stderr, "%s: %s\n", error.where, error.text);
        return 1;
    }
    printf("the first loss is a guess among 256 bytes: %s\n", fabs(losses.first - log(256)) < 0.2 ? "yes" : "no");
    printf("the last is below a nat: %s\n", losses.last < 1 ? "yes" : "no");
    printf("on text it never saw, too: %s\n", losses.held_out < 1 ? "yes" : "no");
    fprintf(stderr, "loss %.3f, then %.3f; held out %.3f\n", losses.first, losses.last, losses.held_out);
    return 0;
}
