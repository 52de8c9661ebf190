/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead CLASS VERB NAME ...`: tell a running device what its class's verbs can (docs/control.md), through the daemon
 * or straight at its control socket. A class with verbs is one struct bh_verb at the end of this file.
 *
 * Nothing is judged here but the verb's name: words become arguments as they are, and the device says what is wrong
 * with them.
 */
#include "cli/running.h"

#include "devices/blk/blk_host.h"
#include "devices/net/net_host.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 64 };

struct class_values {
    struct bh_running_values running;
    char *control;
};

static const struct bh_option options[] = {
    {.name = "control",
     .type = BH_OPT_PATH,
     .offset = offsetof(struct class_values, control),
     .arg = "SOCKET",
     .help = "Control socket of a device process that runs by itself; NAME is left out then",
     .cli_only = true},
    BH_RUNNING_OPTIONS(struct class_values),
    {NULL},
};

/* A command line, sorted: our own options, the device's name, and the class's verb with its arguments. */
struct sorted {
    char *own[WORDS_MAX];
    int own_count;
    const char *words[WORDS_MAX]; /* those without dashes */
    size_t word_count;
    json_t *args;
};

static const struct bh_option *find_option(const struct bh_option *table, const char *name, size_t length)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == length && !strncmp(table->name, name, length))
            return table;
    return NULL;
}

/* An argument that is given again becomes a list. */
static void add_argument(json_t *args, const char *name, size_t length, json_t *value)
{
    char key[64];
    json_t *before;
    snprintf(key, sizeof(key), "%.*s", (int)length, name);
    before = json_object_get(args, key);
    if (!before)
        json_object_set_new(args, key, value);
    else if (json_is_array(before))
        json_array_append_new(before, value);
    else
        json_object_set_new(args, key, json_pack("[O, o]", before, value));
}

/* One "--..." of the command line; `next` is what follows it. True: it took that one along. */
static bool sort_option(struct sorted *sorted, const struct bh_class_verb *verb, char *word, char *next)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    const size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct bh_option *own = find_option(options, name, length),
                           *argument = find_option(verb->arguments, name, length);
    const bool negated = !argument && !strncmp(name, "no-", 3) &&
                         (argument = find_option(verb->arguments, name + 3, length - 3)) != NULL;
    const bool takes_next = !equals && next && (own || (argument && argument->type != BH_OPT_BOOL));
    if (own) {
        sorted->own[sorted->own_count++] = word;
        if (takes_next)
            sorted->own[sorted->own_count++] = next;
    } else if (negated) {
        add_argument(sorted->args, name + 3, length - 3, json_false());
    } else {
        add_argument(sorted->args, name, length,
                     equals       ? json_string(equals + 1)
                     : takes_next ? json_string(next)
                                  : json_true());
    }
    return takes_next;
}

/* Words behind the name are the verb's arguments, in their order. */
static int place_words(struct sorted *sorted, const struct bh_verb *class, const struct bh_class_verb *verb,
                       size_t first)
{
    const struct bh_option *argument = verb->arguments;
    for (size_t i = first; i < sorted->word_count; i++, argument++) {
        while (argument && argument->name &&
               (argument->type == BH_OPT_BOOL || json_object_get(sorted->args, argument->name)))
            argument++;
        if (!argument || !argument->name) {
            char hint[64];
            snprintf(hint, sizeof(hint), "see `bulkhead help %s`", class->name);
            bh_error(NULL, NULL, hint, "%s %s: one word too many: \"%s\"", class->name, verb->name,
                     sorted->words[i]);
            return BH_ERR_RANGE;
        }
        json_object_set_new(sorted->args, argument->name, json_string(sorted->words[i]));
    }
    return BH_OK;
}

/* Where the class's verb stands: the first word that belongs to none of our own options. argc: nowhere. */
static int find_word(int argc, char **argv)
{
    int at = 1;
    while (at < argc && !strncmp(argv[at], "--", 2)) {
        const struct bh_option *own = find_option(options, argv[at] + 2, strcspn(argv[at] + 2, "="));
        at += own && !strchr(argv[at], '=') ? 2 : 1;
    }
    return at < argc ? at : argc;
}

static int sort(struct sorted *sorted, const struct bh_class_verb *verb, int verb_at, int argc, char **argv)
{
    sorted->own[sorted->own_count++] = argv[0];
    if (argc > WORDS_MAX / 2) {
        bh_error(NULL, NULL, NULL, "more words than any verb has");
        return BH_ERR_RANGE;
    }
    for (int i = 1; i < argc; i++) {
        if (i == verb_at)
            continue;
        if (!strncmp(argv[i], "--", 2))
            i += sort_option(sorted, verb, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        else
            sorted->words[sorted->word_count++] = argv[i];
    }
    return BH_OK;
}

static int exit_of_answer(int err)
{
    return err == BH_ERR_RANGE ? BH_EXIT_USAGE : bh_exit_of(err);
}

/* At the device itself. */
static int tell_device(const char *path, const char *op, json_t *args)
{
    struct bh_client client;
    json_t *answer;
    const int fd = bh_unix_connect(path, SOCK_STREAM);
    if (fd < 0) {
        bh_error(NULL, &(struct bh_diag_where){.file = path}, NULL, "no device answers there: %s",
                 strerror(errno));
        json_decref(args);
        return BH_EXIT_NOT_RUNNING;
    }
    int err = bh_client_take(&client, fd);
    if (!err)
        err = bh_client_ask(&client, op, json_pack("{s:O}", "args", args), NULL, &answer);
    json_decref(args);
    if (!err)
        json_decref(answer);
    bh_client_close(&client);
    return exit_of_answer(err);
}

static int tell_system(const struct bh_running_values *running, const char *class, const char *name,
                       const char *op, json_t *args)
{
    struct bh_client client;
    json_t *answer;
    int err = bh_client_connect(&client, running->run_dir, running->system, NULL);
    if (err) {
        json_decref(args);
        return bh_exit_of(err);
    }
    err = bh_ask(&client, "device",
                 json_pack("{s:s, s:s, s:{s:s, s:o}}", "name", name, "class", class, "request", "op", op,
                           "args", args),
                 &answer);
    if (!err)
        json_decref(answer);
    bh_client_close(&client);
    return exit_of_answer(err);
}

static const struct bh_class_verb *find_verb(const struct bh_verb *class, const char *name)
{
    const char *names[WORDS_MAX];
    char hint[80];
    size_t count = 0;
    for (const struct bh_class_verb *verb = class->class->verbs; verb->name && count < WORDS_MAX; verb++) {
        if (!strcmp(verb->name, name))
            return verb;
        names[count++] = verb->name;
    }
    const char *near = bh_did_you_mean(name, names, count);
    snprintf(hint, sizeof(hint), near ? "did you mean \"%s\"?" : "`bulkhead help %s` lists them",
             near ? near : class->name);
    bh_error(NULL, NULL, hint, "%s has no verb \"%s\"", class->name, name);
    return NULL;
}

static int run(const struct bh_verb *class, int argc, char **argv)
{
    struct class_values values = {0};
    struct sorted sorted = {.args = NULL};
    size_t none, first;
    int code = BH_EXIT_USAGE;
    const int verb_at = find_word(argc, argv);
    if (verb_at == argc) {
        bh_help_verb(class, STDERR_FILENO);
        return code;
    }
    const struct bh_class_verb *verb = find_verb(class, argv[verb_at]);
    if (!verb)
        return code;
    sorted.args = json_object();
    if (sort(&sorted, verb, verb_at, argc, argv) ||
        bh_verb_parse(class, sorted.own_count, sorted.own, &values, NULL, 0, 0, &none)) {
        json_decref(sorted.args);
        return code;
    }
    first = values.control ? 0 : 1;
    if (sorted.word_count < first)
        bh_error(NULL, NULL, "`bulkhead ps` shows them", "%s %s: which device?", class->name, verb->name);
    else if (!place_words(&sorted, class, verb, first))
        code = values.control ? tell_device(values.control, verb->name, json_incref(sorted.args))
                              : tell_system(&values.running, class->name, sorted.words[0], verb->name,
                                            json_incref(sorted.args));
    json_decref(sorted.args);
    bh_options_fini(options, &values);
    return code;
}

const struct bh_verb bh_verb_blk = {
    .name = "blk",
    .words = "VERB NAME [ARGUMENT...]",
    .summary = "Tell a running disk something",
    .text = "NAME is a device (linux-a.disk). Arguments stand in their order, or as --argument=value.",
    .options = options,
    .class = &bh_blk_hosted,
    .run = run,
};

const struct bh_verb bh_verb_net = {
    .name = "net",
    .words = "VERB NAME [ARGUMENT...]",
    .summary = "Tell a running network card something",
    .text =
        "NAME is a device (linux-a.net); of capture, a switch as well. Arguments stand in their order, or as "
        "--argument=value.",
    .options = options,
    .class = &bh_net_hosted,
    .run = run,
};
