/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's inside: the system that it runs, and its units (device processes, switches and domains), each with what
 * its kind needs. units.c makes the supervision's table from the plan; device.c, switch.c, domain.c and console.c start
 * and watch the parts; notify.c hears what device processes say of themselves; control.c speaks with clients; history.c
 * writes the log; system.c joins them and carries out what the supervision decides.
 *
 * Threading: one thread.   Ownership: everything belongs to struct system.   May block: as each says.
 */
#ifndef DAEMON_SYSTEM_H
#define DAEMON_SYSTEM_H

#include "daemon/fd_store.h"
#include "daemon/log.h"
#include "daemon/run_dir.h"
#include "engines/engine.h"
#include "plan/plan.h"
#include "supervise/supervise.h"
#include <bulkhead/impl/accept.h>
#include <bulkhead/impl/process.h>
#include <jansson.h>

enum {
    UNIT_NAME_MAX = 72,
    NOTIFY_NAME_MAX = UNIT_NAME_MAX + 8,
    WHY_MAX = 512,
    CLIENTS_MAX = 32,
    CONSOLE_KEPT = 4096
};

enum unit_kind { UNIT_DEVICE, UNIT_DOMAIN, UNIT_SWITCH };

struct system;

/*
 * A console device's other end. Its output goes to a log, to whoever is attached, and to the search for the ready
 * text; what the attached type goes in. fd is -1 where the description says that the console is elsewhere.
 */
struct console {
    struct system *system;
    struct unit *unit;
    struct bh_loop_fd watch;
    int fd, device_fd; /* ours; the device process's stdin and stdout */
    struct bh_log log;
    char kept[CONSOLE_KEPT]; /* the last bytes, for who attaches: a ring */
    size_t kept_at, kept_count;
};

struct unit {
    struct system *system;
    uint16_t index; /* in the supervision's table */
    enum unit_kind kind;
    uint32_t plan_index; /* into the plan's devices, domains or switches */
    char name[UNIT_NAME_MAX];
    struct bh_log_pipe log;
    char why[WHY_MAX];    /* how it ended last */
    char status[WHY_MAX]; /* what it last said of itself: sd_notify's STATUS */
    enum bh_unit_state reported;
    uint64_t started_ns;
    /* a device process or a switch */
    struct bh_process process;
    int notify_fd;
    struct bh_loop_fd notify_watch;
    pid_t speaker;             /* whose notifications are this unit's; 0: nobody's */
    int listen_fd, control_fd; /* of front-ends; of who asks the process itself */
    struct bh_fd_store store;  /* what it left, to go on from */
    bool goes_on;              /* it was started with that, and is not ready yet */
    struct console *console;   /* NULL: no console, or one that is elsewhere */
    /* a domain */
    struct bh_engine_domain *run;
    struct bh_match match; /* window NULL: not watched for a text */
};

struct ask;
struct stats;
struct metrics;

struct client {
    struct system *system;
    struct bh_loop_fd watch;
    int fd; /* -1: free */
    bool owner, watches;
    struct console *attached; /* a raw stream from now on */
    struct ask *ask;          /* not answered yet: at most one of the two */
    struct stats *stats;
    char *line;
    size_t length;
};

struct system {
    struct bh_loop *loop;
    const struct bh_plan *plan;
    const char *source; /* the description's path, absolute */
    struct bh_run_dir dir;
    const struct bh_engine *engine;
    void *engine_state;
    struct bh_engine_site site;
    struct bh_diag_sink sink; /* to the daemon's log and to watching clients */
    struct bh_log log;
    struct unit *units;
    struct bh_unit *table_units;
    struct bh_unit_need *table_needs;
    struct bh_unit_table table;
    struct bh_unit_live *live;
    struct bh_supervisor supervisor;
    struct bh_loop_timer timer;
    struct bh_loop_work settle;
    struct bh_loop_signal term, interrupt;
    struct bh_loop_fd control_watch;
    struct bh_accept control_accept;
    int control_fd;
    struct client clients[CLIENTS_MAX];
    struct metrics *metrics; /* NULL: not served */
    uint64_t began_ns;
    bool ready_said, going_down, contained;
    int result; /* enum bh_err: why it goes down */
};

/* --- units.c --- */
int units_create(struct system *system);
void units_destroy(struct system *system);
struct unit *unit_find(struct system *system,
                       const char *name); /* "linux-a", "linux-a.disk", "linux-a/disk" */
struct unit *unit_of_device(struct system *system, uint32_t device);
struct unit *unit_of_domain(struct system *system, uint32_t domain);
const struct bh_plan_domain *
unit_domain(const struct unit *unit);                /* its own, or the device's; a switch has none */
const char *unit_kind_text(const struct unit *unit); /* "device", "domain", "switch" */
const char *unit_class(const struct unit *unit);     /* a device's; "switch"; "" of a domain */
uint32_t unit_line(const struct unit *unit);         /* in the description */
const char *unit_program(const struct unit *unit);   /* a stranger's that serves it; NULL: ours */
pid_t unit_pid(const struct unit *unit);             /* as /proc has it; 0: none */

/* --- device.c --- */
int device_open(struct unit *unit);
int device_start(struct unit *unit, bool goes_on);
/* Let go of what was kept of it: it will not go on. */
void device_forget(struct unit *unit);
void device_close(struct unit *unit);
/* What was told of the process's end is judged (a bh_process's callback). */
void device_exited(struct bh_process *process, const siginfo_t *info);
/* A command line's words, each of its own, and NULL at the end; NULL is allowed. */
void words_free(char **words);
/* The folder in which the two ends of a link meet; NULL is allowed. */
int device_make_meeting(struct unit *unit, const char *folder);
/* A socket in the run directory, which is our working directory: the name alone is the address. An fd, or bh_err. */
int socket_bind(const char *name, int type);

/* --- switch.c: what it shares with a device process is device.c's --- */
int switch_open(struct unit *unit);
int switch_start(struct unit *unit);

/* --- notify.c --- */
void notify_name(const struct unit *unit, char name[NOTIFY_NAME_MAX]);
int notify_open(struct unit *unit);
/* Hear all that was said up to now. */
void notify_drain(struct unit *unit);
void notify_close(struct unit *unit);

/* --- console.c --- */
int console_open(struct unit *unit);
void console_close(struct console *console);
/* The domain has ended and stays so: nobody waits at its consoles for what will not come. */
void console_end(struct unit *domain);
void console_attach(struct console *console, struct client *client);
void console_type(struct console *console, const char *bytes, size_t length);
struct console *console_of_domain(struct system *system, uint32_t domain);

/* --- domain.c --- */
int domain_open(struct unit *unit);
int domain_start(struct unit *unit);
void domain_close(struct unit *unit);
/* Output of the console that the domain is watched on. */
void domain_output(struct unit *domain, const char *bytes, size_t length);

/* --- files.c --- */
int files_make(struct system *system);

/* --- history.c --- */
/* A line of the daemon's log, for nobody else. `name`: of the unit; may be NULL. */
void system_log(struct system *system, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What runs, on what, and what is planned. */
void history_begin(struct system *system);
/* The unit's state, which is new. */
void history_unit(struct unit *unit);
/* The words that its process was started with. */
void history_words(struct unit *unit, const char *const *words);

/* --- control.c --- */
/* Serve the client that owns the system; then, in the run directory, whoever connects. */
int control_open(struct system *system, int owner_fd);
int control_listen(struct system *system);
void control_close(struct system *system);
/* Send to every client that watches. Takes the reference. */
void control_broadcast(struct system *system, json_t *event);
bool client_send(struct client *client, const void *bytes, size_t length); /* false: the client is gone */
void client_drop(struct client *client);
json_t *system_report(struct system *system);

/* --- system.c --- */
void system_event(struct unit *unit, enum bh_unit_event event);
void system_down(struct system *system, int result, bool now);
void system_restart(struct system *system, struct unit *unit);
/* What a system is run with; all of it is the caller's, but for the owner's fd. */
struct system_setup {
    const struct bh_plan *plan;
    const char *source; /* the description's path, absolute */
    struct bh_run_dir *dir;
    const struct bh_engine *engine;
    void *engine_state;
    int owner_fd;
    bool contained;
};
/* Run it to its end; the run directory is removed. Never returns before everything is down. */
int system_run(const struct system_setup *setup);

#endif
