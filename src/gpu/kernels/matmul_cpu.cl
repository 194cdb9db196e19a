// Kernel `matmul` on CPUs: operands in panels, register tiles of 8 rows by 32 columns, no local memory. A work-item is a whole tile;
// neighbours share the panel of B, which stays in the core's cache.
//   float panels:  any CPU with vectors of floats
//   packed panels: four entries per word for vpdpbusd; the host checks that the CPU has it (AVX-512 VNNI)

#if VECTOR_WIDTH == 8

#define PANEL_ROWS 8
#define PANEL_COLUMNS 32
#define FOR_EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

static inline float8 six_bits(ulong8 word, int byte)
{
    return convert_float8(convert_uint8((word >> (ulong8)(8 * byte)) & (ulong8)(0x3FUL)));
}

// Rows of A or columns of B in panels of `panel` of them: entry k of row i at (i / panel * inner + k) * panel + i % panel.
__kernel void operand_float_panels(__global float *operand, ulong4 seed, uint domain, ulong rows, uint words, uint panel)
{
    ulong row = get_global_id(0) * 8;
    if (row >= rows)
        return;
    __global float *target = operand + row / panel * words * 32 * panel + row % panel;
    uint first_word = 0, last_word = words;
    FOR_EACH_WORD(domain) {
        EXPAND_WORD()
        for (int j = 0; j < 4; j++)
            for (int byte = 0; byte < 8; byte++)
                vstore8(six_bits(s[j], byte), 0, target + (word * 32 + j * 8 + byte) * panel);
    }
}

// The same with four entries of a row in one uint.
__kernel void operand_packed_panels(__global uint *operand, ulong4 seed, uint domain, ulong rows, uint words, uint panel)
{
    ulong row = get_global_id(0) * 8;
    if (row >= rows)
        return;
    __global uint *target = operand + row / panel * words * 8 * panel + row % panel;
    uint first_word = 0, last_word = words;
    FOR_EACH_WORD(domain) {
        EXPAND_WORD()
        for (int j = 0; j < 4; j++) {
            ulong8 entries = s[j] & (ulong8)(0x3F3F3F3F3F3F3F3FUL);
            vstore8(convert_uint8(entries), 0, target + (word * 8 + 2 * j) * panel);
            vstore8(convert_uint8(entries >> (ulong8)(32)), 0, target + (word * 8 + 2 * j + 1) * panel);
        }
    }
}

#define FOLD_ROW(r, left, right) { \
    uint entries[PANEL_COLUMNS]; \
    vstore16(left, 0, entries); \
    vstore16(right, 1, entries); \
    for (int f = 0; f < PANEL_COLUMNS / 8; f++) { \
        ulong hash = 0; \
        for (int c = 0; c < 8; c++) \
            FOLD(hash, entries[f * 8 + c]) \
        target[(ulong)(r) * folds_per_row + f] = hash; \
    } }

#define CLEAR(r) left##r = 0; right##r = 0;

FULL_WIDTH_KERNEL
__kernel void product_float_panels(__global const float *a, __global const float *b, __global ulong *folds, uint words,
                                   uint folds_per_row, ulong first_row)
{
    uint inner = words * 32;
    ulong tile_row = get_global_id(0), tile_column = get_global_id(1);
    __global const float *panel_a = a + (first_row / PANEL_ROWS + tile_row) * inner * PANEL_ROWS;
    __global const float16 *panel_b = (__global const float16 *)b + tile_column * inner * 2;
    float16 left0, left1, left2, left3, left4, left5, left6, left7;
    float16 right0, right1, right2, right3, right4, right5, right6, right7;
    uint16 sum[2 * PANEL_ROWS];
    for (int i = 0; i < 2 * PANEL_ROWS; i++)
        sum[i] = 0;
    for (uint start = 0; start < inner; start += EXACT_FLOAT_TERMS) {
        uint end = min(start + EXACT_FLOAT_TERMS, inner);
        FOR_EACH_ROW(CLEAR)
        for (uint k = start; k < end; k++) {
            float16 left = panel_b[2 * k], right = panel_b[2 * k + 1];
#define ADD(r) { \
    float16 row = (float16)(panel_a[8 * k + r]); \
    left##r = fma(row, left, left##r); \
    right##r = fma(row, right, right##r); }
            FOR_EACH_ROW(ADD)
#undef ADD
        }
#define FLUSH(r) sum[2 * r] += convert_uint16(left##r); sum[2 * r + 1] += convert_uint16(right##r);
        FOR_EACH_ROW(FLUSH)
    }
    __global ulong *target = folds + tile_row * PANEL_ROWS * folds_per_row + tile_column * (PANEL_COLUMNS / 8);
#define FOLD_SUMS(r) FOLD_ROW(r, sum[2 * r], sum[2 * r + 1])
    FOR_EACH_ROW(FOLD_SUMS)
}

#if USE_VNNI && defined(__AVX512F__)

// Entries are 6 bits wide, so that it does not matter which operand the instruction takes as signed.
#define DOT4(sum, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));

FULL_WIDTH_KERNEL
__kernel void product_packed_panels(__global const uint *a, __global const uint *b, __global ulong *folds, uint words,
                                    uint folds_per_row, ulong first_row)
{
    uint quads = words * 8;
    ulong tile_row = get_global_id(0), tile_column = get_global_id(1);
    __global const uint *panel_a = a + (first_row / PANEL_ROWS + tile_row) * quads * PANEL_ROWS;
    __global const uint16 *panel_b = (__global const uint16 *)b + tile_column * quads * 2;
    uint16 left0, left1, left2, left3, left4, left5, left6, left7;
    uint16 right0, right1, right2, right3, right4, right5, right6, right7;
    FOR_EACH_ROW(CLEAR)
    for (uint q = 0; q < quads; q++) {
        uint16 left = panel_b[2 * q], right = panel_b[2 * q + 1];
#define ADD(r) { \
    uint16 row = (uint16)(panel_a[8 * q + r]); \
    DOT4(left##r, row, left) \
    DOT4(right##r, row, right) }
        FOR_EACH_ROW(ADD)
#undef ADD
    }
    __global ulong *target = folds + tile_row * PANEL_ROWS * folds_per_row + tile_column * (PANEL_COLUMNS / 8);
#undef FOLD_SUMS
#define FOLD_SUMS(r) FOLD_ROW(r, left##r, right##r)
    FOR_EACH_ROW(FOLD_SUMS)
}

#endif
#endif
