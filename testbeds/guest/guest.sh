# SPDX-License-Identifier: Apache-2.0
# Shell functions that the guest's start, its report and the tests share.

# argument NAME [DEFAULT]: the value of bulkhead.NAME= on the kernel's command line.
argument() {
    local word value="$2"
    for word in $(cat /proc/cmdline); do
        case "$word" in
        "bulkhead.$1="*) value="${word#*=}" ;;
        esac
    done
    echo "$value"
}

# load_drivers: modprobe by the aliases of what the buses show; twice, since virtio-mmio brings a bus of its own.
load_drivers() {
    local alias
    for _ in 1 2; do
        cat /sys/bus/platform/devices/*/modalias /sys/bus/virtio/devices/*/modalias 2>/dev/null |
            grep -E '^virtio:|Cvirtio,mmio' | sort -u | while read -r alias; do
            modprobe -q "$alias"
        done
    done
}

# virtio_class ID: the name of a virtio device id as /sys shows it (0x0002).
virtio_class() {
    case "$1" in
    0x0001) echo net ;;
    0x0002) echo blk ;;
    0x0003) echo console ;;
    0x0004) echo rng ;;
    0x0005) echo balloon ;;
    0x0008) echo scsi ;;
    0x0012) echo input ;;
    0x0013) echo vsock ;;
    0x001a) echo fs ;;
    *) echo "virtio-$1" ;;
    esac
}

# interface_of MAC: the network interface with that address.
interface_of() {
    local path
    for path in /sys/class/net/*; do
        if [ "$(cat "$path/address")" = "$1" ]; then
            basename "$path"
            return
        fi
    done
}

# disk: the first virtio disk's name.
disk() {
    local path
    for path in /sys/block/vd*; do
        [ -e "$path" ] && basename "$path" && return
    done
}

# say_features CLASS...: the features that the driver of each class accepted, for the host to judge.
say_features() {
    local wanted path
    for wanted in "$@"; do
        for path in /sys/bus/virtio/devices/*; do
            if [ "$(virtio_class "$(cat "$path/device")")" = "$wanted" ]; then
                echo "bulkhead-features: $wanted $(cat "$path/features")"
            fi
        done
    done
}
