// Kernel `matmul` (docs/protocol.md section 5): operands, exact product, folds.
// Two products over two layouts give the same bits; the host chooses by device type and matrix size.
//   panels:   float panels and register tiles, for CPUs
//   portable: packed bytes, local-memory tiles and integer sums, for GPUs

#define FOLD(hash, entry) { hash = ((hash) ^ (ulong)(entry)) * ODD; hash = ROTATE_LEFT(hash, 29); }

// Longest sum of products of 6-bit entries that a float holds exactly: 4096 * 63 * 63 < 2^24.
#define EXACT_FLOAT_TERMS 4096

// Expands keccak words `first_word` to `last_word - 1` of VECTOR_WIDTH rows (domain 0x41) or columns (0x42).
#define FOR_EACH_WORD(domain) \
    lane_t s[25], k0, k1, k2, k3; \
    derive(s, seed, domain, (lane_t)(row) + LANE_INDICES); \
    k0 = s[0]; k1 = s[1]; k2 = s[2]; k3 = s[3] & (lane_t)(0xFFFFFFFFUL); \
    for (uint word = first_word; word < last_word; word++)

#define EXPAND_WORD() { \
    s[0] = k0; s[1] = k1; s[2] = k2; \
    s[3] = k3 | ((lane_t)(swap_bytes_one((ulong)word)) & (lane_t)(0xFFFFFFFF00000000UL)); \
    keccak_word(s); }

// Rows of A or columns of B as bytes: entry k of row i at i * inner + k.
__kernel void operand_bytes(__global ulong *operand, ulong4 seed, uint domain, ulong rows, uint words, uint words_per_item)
{
    ulong row = get_global_id(0) * VECTOR_WIDTH;
    if (row >= rows)
        return;
    uint first_word = get_global_id(1) * words_per_item;
    uint last_word = min(first_word + words_per_item, words);
    FOR_EACH_WORD(domain) {
        EXPAND_WORD()
        for (int j = 0; j < 4; j++) {
            lane_t entries = s[j] & (lane_t)(0x3F3F3F3F3F3F3F3FUL);
#if VECTOR_WIDTH == 8
#define STORE_ROW(i) operand[((row + i) * words + word) * 4 + j] = entries.s##i;
            STORE_ROW(0) STORE_ROW(1) STORE_ROW(2) STORE_ROW(3) STORE_ROW(4) STORE_ROW(5) STORE_ROW(6) STORE_ROW(7)
#else
            operand[(row * words + word) * 4 + j] = entries;
#endif
        }
    }
}

#ifndef USE_DP4A
#define USE_DP4A 0
#endif

// Adds the four products of packed bytes.
static inline uint dot4(uint a, uint b, uint sum)
{
#if USE_DP4A
    uint result;
    asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    sum += (a & 0xFFu) * (b & 0xFFu);
    sum += ((a >> 8) & 0xFFu) * ((b >> 8) & 0xFFu);
    sum += ((a >> 16) & 0xFFu) * ((b >> 16) & 0xFFu);
    return sum + (a >> 24) * (b >> 24);
#endif
}

// A work-item computes 4 rows by one fold; a group of (x, y) work-items 4y rows by 8x columns. The tiles hold one keccak word
// (8 packed uints) of each row and column, transposed so that neighbouring work-items read neighbouring banks.
__kernel void product_portable(__global const uint *a, __global const uint *b, __global ulong *folds, uint words,
                               uint folds_per_row, ulong first_row, __local uint *tile_a, __local uint *tile_b)
{
    uint x = get_local_id(0), y = get_local_id(1);
    uint width = get_local_size(0), height = get_local_size(1);
    uint self = y * width + x, group = width * height;
    ulong group_row = (ulong)get_group_id(1) * height * 4;
    ulong group_column = (ulong)get_group_id(0) * width * 8;
    uint sum[4][8];
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 8; c++)
            sum[r][c] = 0;
    for (uint word = 0; word < words; word++) {
        for (uint e = self; e < height * 32; e += group) {
            uint r = e >> 3, q = e & 7;
            tile_a[(q * 4 + (r & 3)) * height + (r >> 2)] = a[((first_row + group_row + r) * words + word) * 8 + q];
        }
        for (uint e = self; e < width * 64; e += group) {
            uint c = e >> 3, q = e & 7;
            tile_b[(q * 8 + (c & 7)) * width + (c >> 3)] = b[((group_column + c) * words + word) * 8 + q];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint q = 0; q < 8; q++) {
            uint row[4];
#pragma unroll
            for (int r = 0; r < 4; r++)
                row[r] = tile_a[(q * 4 + r) * height + y];
#pragma unroll
            for (int c = 0; c < 8; c++) {
                uint column = tile_b[(q * 8 + c) * width + x];
#pragma unroll
                for (int r = 0; r < 4; r++)
                    sum[r][c] = dot4(row[r], column, sum[r][c]);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int r = 0; r < 4; r++) {
        ulong hash = 0;
#pragma unroll
        for (int c = 0; c < 8; c++)
            FOLD(hash, sum[r][c])
        folds[(group_row + y * 4 + r) * folds_per_row + get_global_id(0)] = hash;
    }
}

#if VECTOR_WIDTH == 8

static inline float8 six_bits(ulong8 word, int byte)
{
    return convert_float8(convert_uint8((word >> (ulong8)(8 * byte)) & (ulong8)(0x3FUL)));
}

// Panels of 4 rows of A: entry k of row i at (i / 4 * inner + k) * 4 + i % 4.
__kernel void operand_row_panels(__global float *operand, ulong4 seed, ulong rows, uint words, uint words_per_item)
{
    ulong row = get_global_id(0) * 8;
    if (row >= rows)
        return;
    ulong inner = (ulong)words * 32;
    uint first_word = get_global_id(1) * words_per_item;
    uint last_word = min(first_word + words_per_item, words);
    FOR_EACH_WORD(0x41) {
        EXPAND_WORD()
        for (int j = 0; j < 4; j++)
            for (int byte = 0; byte < 8; byte++) {
                ulong k = word * 32 + j * 8 + byte;
                float8 entries = six_bits(s[j], byte);
                vstore4(entries.lo, row / 4 * inner + k, operand);
                vstore4(entries.hi, (row / 4 + 1) * inner + k, operand);
            }
    }
}

// Panels of 64 columns of B: entry k of column j at (j / 64 * inner + k) * 64 + j % 64.
__kernel void operand_column_panels(__global float *operand, ulong4 seed, ulong rows, uint words, uint words_per_item)
{
    ulong row = get_global_id(0) * 8;
    if (row >= rows)
        return;
    ulong inner = (ulong)words * 32;
    uint first_word = get_global_id(1) * words_per_item;
    uint last_word = min(first_word + words_per_item, words);
    FOR_EACH_WORD(0x42) {
        EXPAND_WORD()
        for (int j = 0; j < 4; j++)
            for (int byte = 0; byte < 8; byte++) {
                ulong k = word * 32 + j * 8 + byte;
                vstore8(six_bits(s[j], byte), 0, operand + (row / 64 * inner + k) * 64 + row % 64);
            }
    }
}

#define ACCUMULATE(r, scalar) { \
    c##r##0 += (scalar) * b0; c##r##1 += (scalar) * b1; c##r##2 += (scalar) * b2; c##r##3 += (scalar) * b3; }
#define FLUSH(r) { \
    sum[r][0] += convert_uint16(c##r##0); sum[r][1] += convert_uint16(c##r##1); \
    sum[r][2] += convert_uint16(c##r##2); sum[r][3] += convert_uint16(c##r##3); \
    c##r##0 = 0; c##r##1 = 0; c##r##2 = 0; c##r##3 = 0; }

// A work-item computes a tile of 4 rows by 64 columns in registers and folds it.
__kernel void product_panels(__global const float *a, __global const float *b, __global ulong *folds, uint words,
                             uint folds_per_row, ulong first_row)
{
    ulong inner = (ulong)words * 32;
    ulong tile_row = get_global_id(1), tile_column = get_global_id(0);
    __global const float4 *panel_a = (__global const float4 *)a + (first_row / 4 + tile_row) * inner;
    __global const float16 *panel_b = (__global const float16 *)b + tile_column * inner * 4;
    float16 c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0;
    float16 c20 = 0, c21 = 0, c22 = 0, c23 = 0, c30 = 0, c31 = 0, c32 = 0, c33 = 0;
    uint16 sum[4][4];
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++)
            sum[r][c] = 0;
    for (ulong start = 0; start < inner; start += EXACT_FLOAT_TERMS) {
        ulong end = min(start + EXACT_FLOAT_TERMS, inner);
        for (ulong k = start; k < end; k++) {
            float4 row = panel_a[k];
            float16 b0 = panel_b[4 * k], b1 = panel_b[4 * k + 1], b2 = panel_b[4 * k + 2], b3 = panel_b[4 * k + 3];
            ACCUMULATE(0, row.x) ACCUMULATE(1, row.y) ACCUMULATE(2, row.z) ACCUMULATE(3, row.w)
        }
        FLUSH(0) FLUSH(1) FLUSH(2) FLUSH(3)
    }
    for (int r = 0; r < 4; r++) {
        const uint *entries = (const uint *)sum[r];
        __global ulong *target = folds + (tile_row * 4 + r) * folds_per_row + tile_column * 8;
        for (int f = 0; f < 8; f++) {
            ulong hash = 0;
            for (int c = 0; c < 8; c++)
                FOLD(hash, entries[f * 8 + c])
            target[f] = hash;
        }
    }
}

#endif
