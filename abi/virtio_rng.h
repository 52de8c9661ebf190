/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy device [virtio-1.4 5.4]: one queue, no feature bits, no config space.
 */
#ifndef ABI_VIRTIO_RNG_H
#define ABI_VIRTIO_RNG_H

#define VIRTIO_ID_RNG       4u /* [virtio-1.4 5.4.1] */
#define VIRTIO_RNG_REQUESTQ 0u /* [virtio-1.4 5.4.2] */

#endif
