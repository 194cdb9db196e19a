// Trees over the folds of a product (docs/protocol.md section 3).

// Word `position` of 0x00 || be64(index) || folds, with its padding; `folds` points at the leaf's first fold.
static inline ulong leaf_word(__global const ulong *folds, ulong index, uint count, uint position)
{
    ulong previous, current;
    if (position == 0)
        return swap_bytes_one(index) << 8;
    if (position > count + 1)
        return 0;
    previous = position == 1 ? swap_bytes_one(index) : swap_bytes_one(folds[position - 2]);
    current = position == count + 1 ? 0x01UL : swap_bytes_one(folds[position - 1]);
    return (current << 8) | (previous >> 56);
}

// Hashes leaves `first_leaf + i`; leaf i of this launch starts at fold i * count.
__kernel void merkle_leaves(__global const ulong *folds, __global ulong *hashes, ulong first_leaf, ulong leaves, uint count)
{
    ulong item = get_global_id(0) * VECTOR_WIDTH;
    if (item >= leaves)
        return;
    ulong index = first_leaf + item;
    lane_t s[25];
    clear_from(s, 0);
    uint blocks = (9 + 8 * count) / 136 + 1;
    for (uint block = 0; block < blocks; block++) {
#pragma unroll
        for (uint p = 0; p < 17; p++) {
            uint position = block * 17 + p;
#if VECTOR_WIDTH == 8
#define WORD(i) leaf_word(folds + (item + i) * count, index + i, count, position)
            s[p] ^= (ulong8)(WORD(0), WORD(1), WORD(2), WORD(3), WORD(4), WORD(5), WORD(6), WORD(7));
#else
            s[p] ^= leaf_word(folds + item * count, index, count, position);
#endif
        }
        if (block + 1 == blocks)
            s[16] ^= (lane_t)(PADDING_END);
        keccak_f(s);
    }
    store_hashes(s, hashes + 4 * index);
}

// Parents of the 2 * count hashes at `from`, written to `to` (both counted in hashes).
__kernel void merkle_parents(__global ulong *nodes, ulong from, ulong to, ulong count)
{
    ulong item = get_global_id(0) * VECTOR_WIDTH;
    if (item >= count)
        return;
    lane_t s[25], right[4];
    __global const ulong *children = nodes + 4 * (from + 2 * item);
    load_hashes(s, children, 2);
    load_hashes(right, children + 4, 2);
    keccak_node(s, right);
    store_hashes(s, nodes + 4 * (to + item));
}
