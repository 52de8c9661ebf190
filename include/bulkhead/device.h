/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device: one virtio device instance between a transport, which drives it, and a class, which gives it
 * meaning. It owns what all classes share: feature negotiation, the device status state machine
 * [virtio-1.4 2.1, 3.1], config space with its generation [virtio-1.4 2.5], queue life, control operations,
 * NEEDS_RESET, save and load.
 *
 * Control is start + completion
 *   Reset, queue stop and reset, quiesce and a change of memory end only when the device (or what they
 * concern) is quiet. The transport starts the operation and is told the end by `transport->control_done`,
 * perhaps before the starting call returns. One operation of a kind is under way at a time: a second reset
 * joins the first. A reset overtakes stops, queue resets, quiesce and suspend: they complete with
 * BH_ERR_CANCELLED. A change of memory is not the driver's to undo: it goes on, and ends with the reset at
 * the latest.
 *
 * Two ways to run a queue
 *   Register transports (mmio, pci, msg) write DRIVER_OK: every queue that was enabled starts then, later
 * ones as they are enabled. vhost-user starts and stops single queues by bh_device_queue_start/_stop whether
 * or not the front-end tells the status; bh_device_features_done() stands in for FEATURES_OK there.
 *   A queue whose rings' translation is pending starts later: when a translation has arrived, the transport
 * calls bh_device_run_queue for each queue.
 *
 * Threading: control functions on the control thread, those named bh_device_run_* and the queue's own on the
 * queue's thread. While one thread runs all queues, that is the same one; nothing here locks. Ownership: a
 * class embeds struct bh_device in its own; queues and their memory are the class's owner's. May block: no.
 */
#ifndef BULKHEAD_DEVICE_H
#define BULKHEAD_DEVICE_H

#include <bulkhead/features.h>
#include <bulkhead/virtq.h>

/* [virtio-1.4 2.1] */
enum bh_status {
    BH_STATUS_ACKNOWLEDGE = 1,
    BH_STATUS_DRIVER = 2,
    BH_STATUS_DRIVER_OK = 4,
    BH_STATUS_FEATURES_OK = 8,
    BH_STATUS_SUSPEND = 16,
    BH_STATUS_NEEDS_RESET = 64,
    BH_STATUS_FAILED = 128,
};

enum bh_control {
    BH_CONTROL_RESET,       /* the whole device; index 0 */
    BH_CONTROL_QUEUE_STOP,  /* index: the queue; its state can be read and it can be started again */
    BH_CONTROL_QUEUE_RESET, /* index: the queue; as RING_RESET wants it [virtio-1.4 2.6.1] */
    BH_CONTROL_QUIESCE,     /* every queue popped nothing more and has nothing in flight; resume goes on */
    BH_CONTROL_SUSPEND,     /* the driver set SUSPEND: the device is quiet and the status shows it */
    BH_CONTROL_MEM,         /* every region that the last table dropped is released */
    BH_CONTROL_COUNT
};

struct bh_device;
struct bh_class;     /* impl/class.h */
struct bh_transport; /* impl/transport.h */

struct bh_device_counters {
    uint32_t resets;
    uint32_t needs_reset;      /* times NEEDS_RESET was set */
    uint32_t features_refused; /* accepted bits that were never offered, or a set the class refused */
    uint32_t status_refused;   /* status writes that the state machine does not allow */
    uint32_t config_refused;   /* config writes outside or not writable */
};

struct bh_device {
    const struct bh_class *class;
    const struct bh_transport *transport; /* NULL until attached */
    void *transport_data;
    struct bh_mem *mem;
    struct bh_virtq *queues;
    uint16_t queue_count;
    uint8_t status;              /* enum bh_status */
    bool features_done;          /* FEATURES_OK was granted */
    bool started;                /* the class was told to start */
    uint8_t paused;              /* who keeps the queues stopped: a bit for BH_CONTROL_QUIESCE and _SUSPEND */
    uint8_t holding;             /* an operation is being started: completions wait for it */
    bool accept_refused;         /* the driver's last choice of features was not one that was offered */
    bool config_pending;         /* config changed while the driver could not be told */
    struct bh_features withheld; /* what the user or the transport takes away (--features=-packed) */
    struct bh_features acked;
    uint32_t generation;                   /* of config space */
    uint32_t controls;                     /* of the whole device under way, a bit for each enum bh_control */
    const struct bh_mem_table *mem_former; /* while a change of memory is under way */
    struct bh_device_counters counters;
};
#define BH_DEVICE_QUEUES_MAX 256u /* as many as vhost-user's 8 bits name */

/*
 * `queues` (queue_count, at most BH_DEVICE_QUEUES_MAX, initialised by bh_device_init itself from `memory`,
 * one a queue) and `mem` outlive the device. A class's own init calls this.
 */
void bh_device_init(struct bh_device *dev, const struct bh_class *class, struct bh_mem *mem,
                    struct bh_virtq *queues, const struct bh_virtq_memory *memory, uint16_t queue_count);
/* Take bits away from what is offered, before a transport is attached. */
void bh_device_withhold(struct bh_device *dev, const struct bh_features *features);
/* One transport drives a device. Detach only when the device is quiet (after a reset). */
void bh_device_attach(struct bh_device *dev, const struct bh_transport *transport, void *transport_data);
void bh_device_detach(struct bh_device *dev);

/* --- Features
 * ------------------------------------------------------------------------------------------------- */

/* What the driver may choose from: the class's, the rings', less what is withheld and what the transport
 * cannot carry. */
struct bh_features bh_device_offered(const struct bh_device *dev);
/* The driver's choice. BH_ERR_INVAL: a bit that was never offered (nothing changes); BH_ERR_BUSY: after
 * FEATURES_OK. */
int bh_device_accept(struct bh_device *dev, const struct bh_features *features) BH_MUST_USE;
/* FEATURES_OK for transports without a status: the class may refuse the set, BH_ERR_UNSUPPORTED. */
int bh_device_features_done(struct bh_device *dev) BH_MUST_USE;
static inline bool bh_device_has(const struct bh_device *dev, unsigned feature)
{
    return bh_features_has(&dev->acked, feature);
}

/* --- Status
 * --------------------------------------------------------------------------------------------------- */

uint8_t bh_device_status(const struct bh_device *dev);
/*
 * The driver writes the status. 0 starts a reset (the old status is read until it is done). Bits are only
 * added; a write that drops one is refused and counted [virtio-1.4 2.1.1]; NEEDS_RESET is not the driver's
 * and ignored in what it writes. FEATURES_OK stays clear when the set is refused, DRIVER_OK without it.
 * SUSPEND and a DRIVER_OK that ends it work as [virtio-1.4 3.4] has it, where BH_F_SUSPEND was negotiated.
 */
void bh_device_set_status(struct bh_device *dev, uint8_t status);
/* NEEDS_RESET, for a class or transport that cannot go on; counted once until the next reset. */
void bh_device_needs_reset(struct bh_device *dev, enum bh_broken reason);

/* --- Control operations
 * --------------------------------------------------------------------------------------- */

void bh_device_reset(struct bh_device *dev);
/*
 * Run on these rings. BH_ERR_NOENT; BH_ERR_UNSUPPORTED before features are done; BH_ERR_BUSY while it runs,
 * stops or is reset; BH_ERR_INVAL: the size; BH_ERR_FAULT: a ring outside guest memory or misaligned;
 * BH_ERR_PENDING: a ring's translation is under way, and the queue starts when it has arrived (or by another
 * call).
 */
int bh_device_queue_start(struct bh_device *dev, unsigned index,
                          const struct bh_virtq_setup *setup) BH_MUST_USE;
/* `index` below queue_count. Done at once where the queue does not run. */
void bh_device_queue_stop(struct bh_device *dev, unsigned index);
void bh_device_queue_reset(struct bh_device *dev, unsigned index);
/*
 * Register transports: start with DRIVER_OK, or at once when it is set. Errors as of _start but for FAULT and
 * PENDING: the driver has no way to be told, a bad ring is NEEDS_RESET.
 */
int bh_device_queue_enable(struct bh_device *dev, unsigned index,
                           const struct bh_virtq_setup *setup) BH_MUST_USE;
bool bh_device_queue_enabled(const struct bh_device *dev, unsigned index);
void bh_device_quiesce(struct bh_device *dev);
void bh_device_resume(struct bh_device *dev);
/* Publish a table; done when every region missing from it is released. `table` and the former one live until
 * then. */
void bh_device_mem_change(struct bh_device *dev, const struct bh_mem_table *table);

/* --- Config space
 * --------------------------------------------------------------------------------------------- */

uint32_t bh_device_config_size(const struct bh_device *dev);
/* Bytes outside config space read as 0. Any length and offset. */
void bh_device_config_read(const struct bh_device *dev, uint32_t offset, void *to, uint32_t len);
/* BH_ERR_RANGE outside, BH_ERR_INVAL where the class has nothing to write; both counted. */
int bh_device_config_write(struct bh_device *dev, uint32_t offset, const void *from,
                           uint32_t len) BH_MUST_USE;
/* A class changed its config: a new generation, and the driver is told once it is up. */
void bh_device_config_changed(struct bh_device *dev);
static inline uint32_t bh_device_generation(const struct bh_device *dev)
{
    return dev->generation;
}

/* --- Data
 * ----------------------------------------------------------------------------------------------------- */

/*
 * A notification came in: it is counted. The transport calls bh_device_run_queue next, from here or later.
 * `data` as NOTIFICATION_DATA has it [virtio-1.4 2.9], or 0: a hint, never trusted.
 */
void bh_device_run_kick(struct bh_device *dev, unsigned index, uint32_t data);
/*
 * Let the class work on a queue, at most about `budget` chains. True: there is more, call again soon. False:
 * wait for a kick (notifications are on, or the class waits for its own side).
 */
bool bh_device_run_queue(struct bh_device *dev, unsigned index, unsigned budget);

/* --- Save and load
 * -------------------------------------------------------------------------------------------- */

/*
 * One versioned form of a quiet device: features, status, generation, ring states, and the class's part.
 * Little endian, self-describing lengths (docs/state.md). save returns the bytes written or BH_ERR_NOMEM
 * (buffer too small), BH_ERR_BUSY (not quiet); load BH_ERR_PROTO (not ours, damaged), BH_ERR_UNSUPPORTED
 * (another class, version, feature). After load the queues are set up and stopped; bh_device_resume starts
 * them.
 */
int bh_device_save(struct bh_device *dev, void *to, size_t size) BH_MUST_USE;
int bh_device_load(struct bh_device *dev, const void *from, size_t size) BH_MUST_USE;

#endif
