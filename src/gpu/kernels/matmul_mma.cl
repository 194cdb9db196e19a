// Kernel `matmul` on the integer tensor cores of NVIDIA devices (compute capability 8.0 and later), on operands as bytes.
// A group computes 128 rows by 256 columns with 2 by 4 warps of 64 by 64. Fragments: PTX ISA, mma.m16n8k32 with .u8.

#ifndef USE_MMA
#define USE_MMA 0
#endif

#if USE_MMA && defined(__NV_CL_C_VERSION)
#define MMA(c, a, b) \
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
        : "+r"((c)[0]), "+r"((c)[1]), "+r"((c)[2]), "+r"((c)[3]) \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))
#endif

#ifdef MMA

#define MMA_ROWS 128
#define MMA_COLUMNS 256
#define MMA_ITEMS 256
// uints per row of a tile: 8 hold one keccak word, 4 more put eight neighbouring rows into different banks.
#define MMA_STRIDE 12
#define MMA_TILE ((MMA_ROWS + MMA_COLUMNS) * MMA_STRIDE)
// Rows of tiles that are walked together: their groups read the same columns of B from the second-level cache.
#ifndef MMA_SWIZZLE
#define MMA_SWIZZLE 8
#endif

#define MMA_LOAD(word) { \
    next_a = source_a[(ulong)(word) * 2]; \
    next_b0 = source_b0[(ulong)(word) * 2]; \
    next_b1 = source_b1[(ulong)(word) * 2]; }
#define MMA_STORE(buffer) { \
    *(__local uint4 *)(tile + (buffer) * MMA_TILE + place) = next_a; \
    *(__local uint4 *)(tile + (buffer) * MMA_TILE + MMA_ROWS * MMA_STRIDE + place) = next_b0; \
    *(__local uint4 *)(tile + (buffer) * MMA_TILE + 2 * MMA_ROWS * MMA_STRIDE + place) = next_b1; }

__kernel __attribute__((reqd_work_group_size(MMA_ITEMS, 1, 1)))
void product_mma(__global const uint *a, __global const uint *b, __global ulong *folds, uint words, uint folds_per_row,
                 ulong first_row)
{
    __local uint tile[2 * MMA_TILE] __attribute__((aligned(16)));
    uint self = get_local_id(0);
    uint tile_columns = folds_per_row / (MMA_COLUMNS / 8);
    uint tile_rows = get_num_groups(0) / tile_columns;
    uint height = min((uint)MMA_SWIZZLE, tile_rows);
    uint strip = get_group_id(0) / (height * tile_columns), inside = get_group_id(0) % (height * tile_columns);
    ulong group_row = (ulong)(strip * height + inside % height) * MMA_ROWS;
    ulong group_column = (ulong)(inside / height) * MMA_COLUMNS;

    // Each work-item copies half a word of one row of A and of two columns of B.
    ulong row_uint4s = (ulong)words * 2;
    __global const uint4 *source_a = (__global const uint4 *)a + (first_row + group_row + self / 2) * row_uint4s + self % 2;
    __global const uint4 *source_b0 = (__global const uint4 *)b + (group_column + self / 2) * row_uint4s + self % 2;
    __global const uint4 *source_b1 = source_b0 + MMA_ROWS * row_uint4s;
    uint place = self / 2 * MMA_STRIDE + self % 2 * 4;
    uint4 next_a, next_b0, next_b1;

    uint warp_row = self / 128 * 64, warp_column = self / 32 % 4 * 64;
    uint group = self % 32 / 4, member = self % 4;
    uint sum[4][8][4];
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[i][j][e] = 0;

    MMA_LOAD(0)
    MMA_STORE(0)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint word = 0; word < words; word++) {
        if (word + 1 < words)
            MMA_LOAD(word + 1)
        __local const uint *rows = tile + (word & 1) * MMA_TILE + (warp_row + group) * MMA_STRIDE + member;
        __local const uint *columns = tile + (word & 1) * MMA_TILE + (MMA_ROWS + warp_column + group) * MMA_STRIDE + member;
        uint fragment_a[4][4], fragment_b[8][2];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            fragment_a[i][0] = rows[i * 16 * MMA_STRIDE];
            fragment_a[i][1] = rows[(i * 16 + 8) * MMA_STRIDE];
            fragment_a[i][2] = rows[i * 16 * MMA_STRIDE + 4];
            fragment_a[i][3] = rows[(i * 16 + 8) * MMA_STRIDE + 4];
        }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            fragment_b[j][0] = columns[j * 8 * MMA_STRIDE];
            fragment_b[j][1] = columns[j * 8 * MMA_STRIDE + 4];
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 8; j++)
                MMA(sum[i][j], fragment_a[i], fragment_b[j]);
        if (word + 1 < words)
            MMA_STORE((word + 1) & 1)
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    // Eight columns of a row are spread over four work-items: bring 32 rows at a time together in the tile and fold them.
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __local uint *stage = tile + (warp_row / 4 + group) * MMA_COLUMNS + warp_column + member * 2;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            stage[j * 8] = sum[i][j][0];
            stage[j * 8 + 1] = sum[i][j][1];
            stage[8 * MMA_COLUMNS + j * 8] = sum[i][j][2];
            stage[8 * MMA_COLUMNS + j * 8 + 1] = sum[i][j][3];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint f = self; f < 32 * MMA_COLUMNS / 8; f += MMA_ITEMS) {
            uint row = f / (MMA_COLUMNS / 8), fold = f % (MMA_COLUMNS / 8);
            ulong hash = 0;
            for (int c = 0; c < 8; c++)
                FOLD(hash, tile[row * MMA_COLUMNS + fold * 8 + c])
            ulong target = group_row + row / 16 * 64 + i * 16 + row % 16;
            folds[target * folds_per_row + group_column / 8 + fold] = hash;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}

#endif
