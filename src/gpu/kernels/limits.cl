// What a device does at most in plain loops, to measure the other kernels against. Compiled after keccak.cl and memory.cl.

#if VECTOR_WIDTH == 8
typedef float16 float_t;
#define COPY_ITEMS 64
#else
typedef float float_t;
#define COPY_ITEMS 1
#endif
#define FLOAT_LANES (VECTOR_WIDTH == 8 ? 16 : 1)

// Copies COPY_ITEMS vectors per work-item: a CPU's in a row, one of a GPU's.
__kernel void limit_copy(__global const lane_t *from, __global lane_t *to)
{
    ulong first = get_global_id(0) * COPY_ITEMS;
    for (uint i = 0; i < COPY_ITEMS; i++)
        to[first + i] = from[first + i];
}

// Sixteen independent chains of multiply-adds; 16 * FLOAT_LANES of them per step and work-item.
FULL_WIDTH_KERNEL
__kernel void limit_float(__global ulong *out, uint steps)
{
    float_t a = (float_t)(0.999f), b = (float_t)((float)get_global_id(0));
    float_t s0 = b, s1 = b + 1, s2 = b + 2, s3 = b + 3, s4 = b + 4, s5 = b + 5, s6 = b + 6, s7 = b + 7;
    float_t t0 = b, t1 = b - 1, t2 = b - 2, t3 = b - 3, t4 = b - 4, t5 = b - 5, t6 = b - 6, t7 = b - 7;
    for (uint i = 0; i < steps; i++) {
        s0 = fma(s0, a, b); s1 = fma(s1, a, b); s2 = fma(s2, a, b); s3 = fma(s3, a, b);
        s4 = fma(s4, a, b); s5 = fma(s5, a, b); s6 = fma(s6, a, b); s7 = fma(s7, a, b);
        t0 = fma(t0, a, b); t1 = fma(t1, a, b); t2 = fma(t2, a, b); t3 = fma(t3, a, b);
        t4 = fma(t4, a, b); t5 = fma(t5, a, b); t6 = fma(t6, a, b); t7 = fma(t7, a, b);
    }
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7 + t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7;
#if VECTOR_WIDTH == 8
    out[get_global_id(0)] = as_uint(s0.s0 + s0.s5 + s0.sa + s0.sf);
#else
    out[get_global_id(0)] = as_uint(s0);
#endif
}

// The operations of keccak (two of three operands for one rotation) on eight independent chains: 24 * VECTOR_WIDTH per step and
// work-item.
#define LOGIC(x, y, z) XOR3(x, y, z) x = ROTATE_LEFT(x, 13); x ^= ~(y) & (z);

FULL_WIDTH_KERNEL
__kernel void limit_logic(__global ulong *out, uint steps)
{
    lane_t y = (lane_t)(get_global_id(0)) + LANE_INDICES, z = y * (lane_t)(ODD);
    lane_t x0 = y + 1, x1 = y + 2, x2 = y + 3, x3 = y + 4, x4 = y + 5, x5 = y + 6, x6 = y + 7, x7 = y + 8;
    for (uint i = 0; i < steps; i++) {
        LOGIC(x0, x1, z) LOGIC(x1, x2, z) LOGIC(x2, x3, z) LOGIC(x3, x4, z)
        LOGIC(x4, x5, z) LOGIC(x5, x6, z) LOGIC(x6, x7, z) LOGIC(x7, x0, z)
    }
    x0 ^= x1 ^ x2 ^ x3 ^ x4 ^ x5 ^ x6 ^ x7;
#if VECTOR_WIDTH == 8
    out[get_global_id(0)] = x0.s0 ^ x0.s1 ^ x0.s2 ^ x0.s3 ^ x0.s4 ^ x0.s5 ^ x0.s6 ^ x0.s7;
#else
    out[get_global_id(0)] = x0;
#endif
}

// Reads random lines of 128 bytes whose addresses depend on nothing that was read.
__kernel void limit_random_read(__global const ulong4 *memory, __global ulong *out, ulong lines, uint steps)
{
    ulong address[CHAINS];
    ulong4 sum = 0;
    for (int c = 0; c < CHAINS; c++)
        address[c] = (get_global_id(0) * CHAINS + c + 1) * ODD;
    for (uint i = 0; i < steps; i++) {
        ulong offset[CHAINS];
        for (int c = 0; c < CHAINS; c++) {
            address[c] = address[c] * 6364136223846793005UL + 1442695040888963407UL;
            offset[c] = 4 * mul_hi(address[c], lines);
            FETCH(memory + offset[c])
        }
        for (int c = 0; c < CHAINS; c++) {
            __global const ulong4 *line = memory + offset[c];
            sum ^= line[0] ^ line[1] ^ line[2] ^ line[3];
        }
    }
    out[get_global_id(0)] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
