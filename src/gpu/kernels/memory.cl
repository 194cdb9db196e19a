// Kernel `memory` (docs/protocol.md section 4): fill, walk, checkpoints.
// Every buffer is padded so that a whole work-item of the last group stays inside of it.

#define ODD 0x9E3779B97F4A7C15UL
#define SEGMENT_STEPS 256

// Lanes that one work-item walks: CPUs hide the latency of a read behind other lanes, GPUs behind other work-items.
#ifndef CHAINS
#define CHAINS 1
#endif

// Computes units `first_unit + VECTOR_WIDTH * i` and following into their place in a window.
__kernel void memory_fill(__global ulong *window, ulong4 seed, uint iterations, ulong window_first_unit,
                          ulong first_item, ulong items)
{
    ulong item = get_global_id(0);
    if (item >= items)
        return;
    ulong unit = (first_item + item) * VECTOR_WIDTH;
    lane_t s[25];
    derive(s, seed, 0x4d, (lane_t)(window_first_unit + unit) + LANE_INDICES);
    for (uint i = 1; i < iterations; i++)
        keccak_word(s);
    for (int j = 0; j < 4; j++)
        s[j] = swap_bytes(s[j]);
    store_hashes(s, window + 4 * unit);
}

// Initial states and keys; `states` holds word j of lane n at j * lanes + n, the key as word 4.
__kernel void memory_start(__global ulong *states, ulong4 seed, ulong lanes)
{
    ulong item = get_global_id(0);
    if (item * VECTOR_WIDTH >= lanes)
        return;
    ulong lane = item * VECTOR_WIDTH;
    lane_t s[25];
    derive(s, seed, 0x4c, (lane_t)(lane) + LANE_INDICES);
    for (int j = 0; j < 4; j++)
#if VECTOR_WIDTH == 8
        vstore8(swap_bytes(s[j]), 0, states + j * lanes + lane);
#else
        states[j * lanes + lane] = swap_bytes(s[j]);
#endif
    derive(s, seed, 0x6b, (lane_t)(lane) + LANE_INDICES);
#if VECTOR_WIDTH == 8
    vstore8(swap_bytes(s[0]), 0, states + 4 * lanes + lane);
#else
    states[4 * lanes + lane] = swap_bytes(s[0]);
#endif
}

#ifdef __x86_64__
// A core's own look-ahead reaches only a few lanes: ask for both cache lines of every lane before the first is mixed.
#define FETCH(line) { \
    __builtin_prefetch((const void *)(ulong)(line)); \
    __builtin_prefetch((const void *)(ulong)((line) + 2)); }
#else
#define FETCH(line)
#endif

#define MIX(x, w) { x = ((x) ^ (w)) * ODD; x = ROTATE_LEFT(x, 29); }

// Walks one segment of every lane in one window.
__kernel void memory_walk(__global const ulong4 *window, __global ulong *states, ulong lanes, ulong lines, uint first_step)
{
    ulong first_lane = get_global_id(0) * CHAINS;
    if (first_lane >= lanes)
        return;
    ulong x0[CHAINS], x1[CHAINS], x2[CHAINS], x3[CHAINS], key[CHAINS];
    for (int c = 0; c < CHAINS; c++) {
        x0[c] = states[first_lane + c];
        x1[c] = states[lanes + first_lane + c];
        x2[c] = states[2 * lanes + first_lane + c];
        x3[c] = states[3 * lanes + first_lane + c];
        key[c] = states[4 * lanes + first_lane + c];
    }
    ulong offset[CHAINS];
    for (uint step = first_step; step < first_step + SEGMENT_STEPS; step++) {
        ulong tweak = (ulong)step * ODD;
        for (int c = 0; c < CHAINS; c++) {
            x0[c] ^= x1[c] ^ x2[c] ^ x3[c] ^ (key[c] + tweak);
            offset[c] = 4 * mul_hi(x0[c], lines);
            FETCH(window + offset[c])
        }
        for (int c = 0; c < CHAINS; c++) {
            __global const ulong *line = (__global const ulong *)(window + offset[c]);
            for (int k = 0; k < 4; k++) {
                MIX(x0[c], line[4 * k]) MIX(x1[c], line[4 * k + 1]) MIX(x2[c], line[4 * k + 2]) MIX(x3[c], line[4 * k + 3])
            }
        }
    }
    for (int c = 0; c < CHAINS; c++) {
        states[first_lane + c] = x0[c];
        states[lanes + first_lane + c] = x1[c];
        states[2 * lanes + first_lane + c] = x2[c];
        states[3 * lanes + first_lane + c] = x3[c];
    }
}

// Hashes checkpoint `segment` of every lane and merges it into the lane's unfinished tree. `stack` holds the pending node of
// height h of lane n as hash number h * lanes + n; after the last padded segment the top height holds the lane roots.
__kernel void memory_checkpoint(__global const ulong *states, __global ulong *stack, ulong lanes, uint segment,
                                uint segments, uint padded_segments)
{
    ulong item = get_global_id(0);
    if (item * VECTOR_WIDTH >= lanes)
        return;
    ulong lane = item * VECTOR_WIDTH;
    lane_t s[25];
    if (segment < segments) {
        lane_t x[4];
        for (int j = 0; j < 4; j++)
#if VECTOR_WIDTH == 8
            x[j] = swap_bytes(vload8(0, states + j * lanes + lane));
#else
            x[j] = swap_bytes(states[j * lanes + lane]);
#endif
        lane_t index = swap_bytes(((lane_t)(lane) + LANE_INDICES) * (lane_t)((ulong)padded_segments) + (lane_t)((ulong)segment));
        s[0] = index << 8;
        s[1] = (x[0] << 8) | (index >> 56);
        s[2] = (x[1] << 8) | (x[0] >> 56);
        s[3] = (x[2] << 8) | (x[1] >> 56);
        s[4] = (x[3] << 8) | (x[2] >> 56);
        s[5] = (x[3] >> 56) | (lane_t)(0x100UL);
        clear_from(s, 6);
        s[16] = (lane_t)(PADDING_END);
        keccak_f_digest(s);
    } else {
        clear_from(s, 0);
    }
    ulong height = 0;
    for (uint rest = segment; rest & 1; rest >>= 1) {
        lane_t right[4] = {s[0], s[1], s[2], s[3]};
        load_hashes(s, stack + 4 * (height * lanes + lane), 1);
        keccak_node(s, right);
        height++;
    }
    store_hashes(s, stack + 4 * (height * lanes + lane));
}
