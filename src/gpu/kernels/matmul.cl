// Kernel `matmul` (docs/protocol.md section 5): operands as bytes, and the exact product on any device with local memory.
// matmul_cpu.cl and matmul_mma.cl are faster where they run. All of them give the same bits; the host chooses.

// How four products of bytes are summed: in 32-bit integers, in floats, by cl_khr_integer_dot_product, by NVIDIA's dp4a.
#define SUM_INTEGER 0
#define SUM_FLOAT 1
#define SUM_KHR_DOT 2
#define SUM_DP4A 3
#ifndef SUM
#define SUM SUM_INTEGER
#endif

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

#if SUM == SUM_FLOAT
typedef float sum_t;

// A sum of at most EXACT_FLOAT_TERMS products, none of them rounded.
static inline float dot4(uint a, uint b, float sum)
{
    sum += (float)(a & 0xFFu) * (float)(b & 0xFFu);
    sum += (float)((a >> 8) & 0xFFu) * (float)((b >> 8) & 0xFFu);
    sum += (float)((a >> 16) & 0xFFu) * (float)((b >> 16) & 0xFFu);
    return sum + (float)(a >> 24) * (float)(b >> 24);
}
#else
typedef uint sum_t;

static inline uint dot4(uint a, uint b, uint sum)
{
#if SUM == SUM_DP4A && defined(__NV_CL_C_VERSION)
    uint result;
    asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#elif SUM == SUM_KHR_DOT && defined(cl_khr_integer_dot_product)
    return sum + dot_4x8packed_uu_uint(a, b);
#else
    sum += (a & 0xFFu) * (b & 0xFFu);
    sum += ((a >> 8) & 0xFFu) * ((b >> 8) & 0xFFu);
    sum += ((a >> 16) & 0xFFu) * ((b >> 16) & 0xFFu);
    return sum + (a >> 24) * (b >> 24);
#endif
}
#endif

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
    uint total[4][8];
    sum_t sum[4][8];
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 8; c++)
            total[r][c] = sum[r][c] = 0;
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
#if SUM == SUM_FLOAT
        if ((word + 1) % (EXACT_FLOAT_TERMS / 32) == 0)
            for (int r = 0; r < 4; r++)
                for (int c = 0; c < 8; c++) {
                    total[r][c] += (uint)sum[r][c];
                    sum[r][c] = 0;
                }
#endif
    }
    for (int r = 0; r < 4; r++) {
        ulong hash = 0;
#pragma unroll
        for (int c = 0; c < 8; c++)
            FOLD(hash, total[r][c] + (uint)sum[r][c])
        folds[(group_row + y * 4 + r) * folds_per_row + get_global_id(0)] = hash;
    }
}
