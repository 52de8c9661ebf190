/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the build: writes the man pages and the bash completion from the tables that the command itself uses.
 *
 *     bulkhead-pages man              bulkhead.1
 *     bulkhead-pages man-CLASS        bulkhead-CLASS.1
 *     bulkhead-pages man-switch       bulkhead-switch.1
 *     bulkhead-pages man-conform      bulkhead-conform.1
 *     bulkhead-pages completion       the bash completion of bulkhead, of every bulkhead-CLASS and of bulkhead-switch
 */
#include "bench/options.h"
#include "cli/plan_classes.h"
#include "cli/verb.h"
#include "devices/net/switch_options.h"
#include "programs/device.h"
#include "tests/conformance/options.h"

#include <bulkhead/impl/exit_status.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* --- man pages --------------------------------------------------------------------------------------------- */

/* Text for roff: a dash is a minus, a backslash and a leading dot are themselves. */
static void put(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '-')
            fputs("\\-", stdout);
        else if (*at == '\\')
            fputs("\\e", stdout);
        else if ((at == text || at[-1] == '\n') && (*at == '.' || *at == '\''))
            printf("\\&%c", *at);
        else
            putchar(*at);
    }
}

/* `dashes`: as it is typed behind a program's name; else it is a word, "vlan=10". */
static void put_option(const struct bh_option *option, bool dashes)
{
    printf(".TP\n\\fB%s", dashes ? "\\-\\-" : "");
    put(option->name);
    printf("\\fR");
    if (option->type != BH_OPT_BOOL) {
        printf("=\\fI");
        put(option->arg ? option->arg : option->type == BH_OPT_SIZE ? "SIZE" : "VALUE");
        printf("\\fR");
    }
    putchar('\n');
    put(option->help ? option->help : "");
    for (int i = 0; option->type == BH_OPT_ENUM && option->values[i]; i++) {
        fputs(i ? ", " : ": ", stdout);
        put(option->values[i]);
    }
    if (option->unit && option->type != BH_OPT_SIZE)
        printf("; in %s", option->unit);
    if (option->type == BH_OPT_LIST)
        printf("; may be repeated");
    if (option->def && !(option->type == BH_OPT_BOOL && !strcmp(option->def, "off"))) {
        printf("; the default is ");
        put(option->def);
    }
    printf(".\n");
}

static void put_table(const struct bh_option *table)
{
    for (const struct bh_option *option = table; option && option->name; option++)
        put_option(option, true);
}

static void put_title(const char *name, const char *summary)
{
    printf(".TH ");
    for (const char *at = name; *at; at++)
        putchar(toupper((unsigned char)*at));
    printf(" 1 \"\" \"bulkhead " BH_VERSION "\" \"Bulkhead\"\n.SH NAME\n");
    put(name);
    printf(" \\- ");
    put(summary);
    putchar('\n');
}

static void man_verb(const struct bh_verb *verb)
{
    printf(".SS \"bulkhead ");
    put(verb->name);
    printf("%s%s", verb->options && verb->options[0].name ? " [--option=value...]" : "",
           verb->words[0] ? " " : "");
    put(verb->words);
    printf("\"\n");
    put(verb->summary);
    printf(".\n");
    if (verb->text) {
        printf(".PP\n");
        put(verb->text);
        putchar('\n');
    }
    for (const struct bh_class_verb *of_class = verb->class ? verb->class->verbs : NULL;
         of_class && of_class->name; of_class++) {
        printf(".PP\n\fB");
        put(of_class->name);
        printf("\fR: ");
        put(of_class->summary);
        printf(".\n");
        put_table(of_class->arguments);
    }
    if (verb->class)
        printf(".PP\nOptions of all of them:\n");
    put_table(verb->options);
}

static void man_bulkhead(void)
{
    put_title("bulkhead", "run systems of several operating systems on one machine, from one description");
    printf(".SH SYNOPSIS\n.B bulkhead\n.I VERB\n[\\-\\-option=value...] [WORD...]\n.br\n"
           ".B bulkhead \\-\\-version\n.SH VERBS\n");
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        man_verb(*verb);
    printf(".SH EXIT STATUS\n"
           ".TP\n%d\nWhat was asked for was done.\n"
           ".TP\n%d\nIt did not come about: a check failed, a domain did not start.\n"
           ".TP\n%d\nThe command line is wrong.\n"
           ".TP\n%d\nNo such system is running, or it has no such domain or device.\n"
           ".TP\n%d\nThis machine lacks a program that is needed: a QEMU, dtc, a class's program.\n"
           ".TP\n%d\nInterrupted; what was running was stopped.\n",
           BH_EXIT_OK, BH_EXIT_FAILED, BH_EXIT_USAGE, BH_EXIT_NOT_RUNNING, BH_EXIT_MISSING,
           BH_EXIT_INTERRUPTED);
    printf(".SH ENVIRONMENT\n"
           ".TP\nXDG_RUNTIME_DIR\nRun directories are in its folder bulkhead; without it in /run/bulkhead "
           "for root, in\n"
           "/tmp/bulkhead\\-UID for others.\n"
           ".TP\nXDG_CACHE_HOME, XDG_STATE_HOME\nWhere cache: and state: of a description begin.\n"
           ".TP\nBULKHEAD_QEMU\nThe qemu\\-system\\-aarch64 to try first.\n"
           ".TP\nBULKHEAD_LIBEXEC\nThe folder of the programs bulkhead\\-CLASS.\n"
           ".TP\nNO_COLOR\nNo colour, also on a terminal.\n"
           ".SH SEE ALSO\n");
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (!class->stranger)
            printf(".BR bulkhead\\-%s (1),\n", class->name);
    printf(".BR bulkhead\\-switch (1),\n.BR bulkhead\\-conform (1)\n");
}

/* bulkhead/impl/exit_status.h */
static void put_device_exits(void)
{
    printf(
        ".SH EXIT STATUS\n"
        ".TP\n%d\nIt ended as it was told to.\n"
        ".TP\n%d\nSomething went wrong that may go well the next time.\n"
        ".TP\n%d\nThe command line is wrong, or contradicts itself.\n"
        ".TP\n%d\nWhat the options name is not to be had: missing, forbidden, or taken by another program.\n",
        BH_DEVICE_EXIT_OK, BH_DEVICE_EXIT_FAILED, BH_DEVICE_EXIT_USAGE, BH_DEVICE_EXIT_UNAVAILABLE);
}

static int man_class(const char *name)
{
    const struct bh_plan_class *class = bh_plan_classes;
    char program[64], summary[96];
    while (class->name && strcmp(class->name, name) != 0)
        class ++;
    if (!class->name)
        return 1;
    snprintf(program, sizeof(program), "bulkhead-%s", name);
    snprintf(summary, sizeof(summary), "serve a virtio-%s device to a vhost-user front-end", name);
    put_title(program, summary);
    printf(".SH SYNOPSIS\n.B bulkhead\\-%s\n\\-\\-socket\\-path=PATH | \\-\\-fd=FD [\\-\\-option=value...]\n"
           ".SH DESCRIPTION\nOne device of one guest, as a process. It ends on SIGTERM, and tells a service "
           "manager by\n"
           "sd_notify's protocol when it is ready. The device's options are also the properties of its node "
           "in a\n"
           "description.\n.SH OPTIONS\n.SS Process\n",
           name);
    put_table(bh_device_process_options);
    printf(".SS Device\n");
    put_table(class->options);
    put_device_exits();
    printf(".SH SEE ALSO\n.BR bulkhead (1)\n");
    return 0;
}

static void man_switch(void)
{
    put_title("bulkhead-switch", "join several network cards and taps");
    printf(
        ".SH SYNOPSIS\n.B bulkhead\\-switch\n\\-\\-port=PORT \\-\\-port=PORT [\\-\\-option=value...]\n"
        ".SH DESCRIPTION\nAn Ethernet switch as a process. A port is a link, at whose other end is a\n"
        ".BR bulkhead\\-net (1),\nor a tap of the host. It ends on SIGTERM, and tells a service manager by "
        "sd_notify's protocol when it is ready. The options of a switch are also the properties of its node "
        "in a description, where the nets that name it are ports beside those of\n.BR port .\n"
        ".SH OPTIONS\n.SS Process\n");
    put_table(bh_switch_process_options);
    printf(".SS Switch\n");
    put_table(bh_switch_options);
    printf(".SH PORTS\nA port is written\n.IR KIND : WHERE [,word=value...].\nIts words:\n");
    for (const struct bh_option *word = bh_switch_words; word->name; word++)
        put_option(word, false);
    put_device_exits();
    printf(".SH SEE ALSO\n.BR bulkhead (1),\n.BR bulkhead\\-net (1)\n");
}

static void man_conform(void)
{
    const struct bh_verb *verb = bh_verb_find("conform");
    put_title("bulkhead-conform", "judge a vhost-user back-end by the virtio specification");
    printf(".SH SYNOPSIS\n.B bulkhead conform\n");
    put(verb->words);
    printf("\n.SH DESCRIPTION\n");
    put(verb->text);
    printf("\n.SH OPTIONS\n");
    put_table(conf_options);
    printf(".SH SEE ALSO\n.BR bulkhead (1)\n");
}

/* --- completion -------------------------------------------------------------------------------------------- */

/* "--name=" wants a value, "--name" none. */
static void complete_table(const struct bh_option *table)
{
    for (const struct bh_option *option = table; option && option->name; option++)
        printf(" --%s%s", option->name, option->type == BH_OPT_BOOL ? "" : "=");
}

/* A case arm for each option whose values are known words, or files. */
static void complete_values(const struct bh_option *table)
{
    for (const struct bh_option *option = table; option && option->name; option++) {
        if (option->type == BH_OPT_PATH)
            printf("    --%s) COMPREPLY=($(compgen -f -- \"$value\")); return;;\n", option->name);
        if (option->type != BH_OPT_ENUM)
            continue;
        printf("    --%s) COMPREPLY=($(compgen -W \"", option->name);
        for (int i = 0; option->values[i]; i++)
            printf("%s%s", i ? " " : "", option->values[i]);
        printf("\" -- \"$value\")); return;;\n");
    }
}

/* _bulkhead_value OPTION VALUE: what may stand behind "--OPTION=". */
static void put_value_function(void)
{
    printf("_bulkhead_value() {\n    local option=$1 value=$2\n    case $option in\n");
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        complete_values((*verb)->options);
    complete_values(conf_options);
    complete_values(bh_device_process_options);
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (!class->stranger)
            complete_values(class->options);
    complete_values(bh_switch_options);
    printf("    esac\n}\n\n");
}

static void put_words_of_verb(const struct bh_verb *verb)
{
    const struct bh_class_verb *verbs = verb->class ? verb->class->verbs : NULL;

    printf("    %s) echo \"", verb->name);
    complete_table(strcmp(verb->name, "conform") ? verb->options : conf_options);
    for (const struct bh_class_verb *of_class = verbs; of_class && of_class->name; of_class++)
        complete_table(of_class->arguments);
    printf("\";;\n");
    if (!verbs)
        return;
    printf("    %s-verbs) echo \"", verb->name);
    for (const struct bh_class_verb *of_class = verbs; of_class->name; of_class++)
        printf("%s ", of_class->name);
    printf("\";;\n");
}

/* _bulkhead_words WHAT: the options of a verb or a program, or the names that may stand somewhere. */
static void put_words_function(void)
{
    printf("_bulkhead_words() {\n    case $1 in\n");
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        put_words_of_verb(*verb);
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++) {
        if (class->stranger)
            continue;
        printf("    bulkhead-%s) echo \"", class->name);
        complete_table(bh_device_process_options);
        complete_table(class->options);
        printf("\";;\n");
    }
    printf("    bulkhead-switch) echo \"");
    complete_table(bh_switch_process_options);
    complete_table(bh_switch_options);
    printf("\";;\n    verbs) echo \"");
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        printf("%s ", (*verb)->name);
    printf("--help --version\";;\n    workloads) echo \"%s\";;\n    classes) echo \"", bench_names);
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (!class->stranger)
            printf("%s ", class->name);
    printf(
        "\";;\n    names) bulkhead ps --json 2>/dev/null | sed -n 's/^ *\"name\": \"\\(.*\\)\",*/\\1/p';;\n"
        "    esac\n}\n\n");
}

static const char completion_function[] =
    "_bulkhead() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} "
    "words\n"
    "    local program=${COMP_WORDS[0]##*/}\n"
    "    COMPREPLY=()\n"
    "    if [[ $before == \"=\" ]]; then _bulkhead_value \"${COMP_WORDS[COMP_CWORD-2]}\" \"$word\"; "
    "return; fi\n"
    "    if [[ $word == \"=\" ]]; then _bulkhead_value \"$before\" \"\"; return; fi\n"
    "    if [[ $program != bulkhead ]]; then words=$(_bulkhead_words \"$program\")\n"
    "    elif ((COMP_CWORD == 1)); then words=$(_bulkhead_words verbs)\n"
    "    elif [[ $verb == device && $COMP_CWORD == 2 ]]; then words=$(_bulkhead_words classes)\n"
    "    elif [[ $verb == device ]]; then words=$(_bulkhead_words \"bulkhead-${COMP_WORDS[2]}\")\n"
    "    elif [[ $word == -* ]]; then words=$(_bulkhead_words \"$verb\")\n"
    "    else case $verb in\n"
    "        check | plan | up) COMPREPLY=($(compgen -f -X '!*.dt[sb]' -- \"$word\") "
    "$(compgen -f -X '!*.json' -- \"$word\") $(compgen -d -- \"$word\")); return;;\n"
    "        console | logs | restart | stat) words=$(_bulkhead_words names);;\n"
    "        bench) words=$(_bulkhead_words workloads);;\n"
    "        help) words=$(_bulkhead_words verbs);;\n"
    "        *) if ((COMP_CWORD == 2)); then words=$(_bulkhead_words \"$verb-verbs\")\n"
    "           elif ((COMP_CWORD == 3)); then words=$(_bulkhead_words names); fi;;\n"
    "        esac\n"
    "    fi\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
    "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
    "}\n";

static void completion(void)
{
    printf("# bash completion of bulkhead(1) and the device programs; made from their option tables by the "
           "build.\n");
    put_value_function();
    put_words_function();
    printf("%s", completion_function);
    printf("complete -o filenames -F _bulkhead bulkhead");
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (!class->stranger)
            printf(" bulkhead-%s", class->name);
    printf(" bulkhead-switch\n");
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "man"))
        man_bulkhead();
    else if (argc == 2 && !strcmp(argv[1], "man-conform"))
        man_conform();
    else if (argc == 2 && !strcmp(argv[1], "completion"))
        completion();
    else if (argc == 2 && !strcmp(argv[1], "man-switch"))
        man_switch();
    else if (argc != 2 || strncmp(argv[1], "man-", 4) != 0 || man_class(argv[1] + 4))
        return BH_EXIT_USAGE;
    return fflush(stdout) ? BH_EXIT_FAILED : BH_EXIT_OK;
}
