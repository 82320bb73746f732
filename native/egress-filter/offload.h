/* What a guest leaves to its network card: checksums that are not finished yet. Pure.
 *
 * A frame from a TAP has a virtio-net header before it (virtio 1.2, 5.1.6; native-endian in
 * IFF_VNET_HDR of a TAP). Segments of TCP that the card would cut are
 * passed on whole: passt takes any frame of at most 65535 bytes. */
#ifndef BANGER_EGRESS_OFFLOAD_H
#define BANGER_EGRESS_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VNET_HEADER = 10 };

/* Finish what a frame's header leaves to the card. False: it asks for what cannot be done, or for
 * a checksum outside of the frame. */
bool finish_frame(const uint8_t header[VNET_HEADER], uint8_t *frame, size_t size);

#endif
