// Keccak-f[1600] over VECTOR_WIDTH states at once (FIPS 202). Included in front of every other kernel.
// CPUs want 8 states in one vector register, GPUs one state per work-item.

#ifndef VECTOR_WIDTH
#define VECTOR_WIDTH 1
#endif

#if VECTOR_WIDTH == 8
typedef ulong8 lane_t;
#define LANE_INDICES ((ulong8)(0, 1, 2, 3, 4, 5, 6, 7))
#else
typedef ulong lane_t;
#define LANE_INDICES ((ulong)0)
#endif

// Bit 7 of the last byte of a 136-byte block, where the padding of Keccak-256 ends.
#define PADDING_END 0x8000000000000000UL

__constant ulong ROUND_CONSTANTS[24] = {
    0x0000000000000001UL, 0x0000000000008082UL, 0x800000000000808AUL, 0x8000000080008000UL,
    0x000000000000808BUL, 0x0000000080000001UL, 0x8000000080008081UL, 0x8000000000008009UL,
    0x000000000000008AUL, 0x0000000000000088UL, 0x0000000080008009UL, 0x000000008000000AUL,
    0x000000008000808BUL, 0x800000000000008BUL, 0x8000000000008089UL, 0x8000000000008003UL,
    0x8000000000008002UL, 0x8000000000000080UL, 0x000000000000800AUL, 0x800000008000000AUL,
    0x8000000080008081UL, 0x8000000000008080UL, 0x0000000080000001UL, 0x8000000080008008UL};

#define ROTATE_LEFT(x, n) (((x) << (n)) | ((x) >> (64 - (n))))

#if VECTOR_WIDTH == 8 && defined(__AVX512F__)
// The compiler shares `a ^ b` between five lanes, which costs an instruction that the three-operand form saves.
#define XOR3(x, a, b) __asm__("vpternlogq $0x96, %2, %1, %0" : "+v"(x) : "v"(a), "v"(b));
#define XOR_AND_NOT(x, a, b) __asm__("vpternlogq $0xd2, %2, %1, %0" : "+v"(x) : "v"(a), "v"(b));
#else
#define XOR3(x, a, b) x ^= (a) ^ (b);
#define XOR_AND_NOT(x, a, b) x ^= ~(a) & (b);
#endif

#ifdef __x86_64__
// Without it LLVM may split a vector of 512 bits in two, and the state no longer fits the registers.
#define FULL_WIDTH __attribute__((min_vector_width(512), always_inline))
#define FULL_WIDTH_KERNEL __attribute__((min_vector_width(512)))
#else
#define FULL_WIDTH
#define FULL_WIDTH_KERNEL
#endif

// Parities of the columns, and the same rotated.
#define PARITY(x) { \
    c[x] = s[x]; \
    XOR3(c[x], s[x + 5], s[x + 10]) \
    XOR3(c[x], s[x + 15], s[x + 20]) \
    d[(x + 4) % 5] = ROTATE_LEFT(c[x], 1); }
#define PARITIES() PARITY(0) PARITY(1) PARITY(2) PARITY(3) PARITY(4)

// Theta, rho and pi for one lane of a row: lane `i` of the old state, rotated by n.
#define TAKE(b, i, n) b = s[i]; XOR3(b, c[(i + 4) % 5], d[i % 5]) b = ROTATE_LEFT(b, n);
#define TAKE_FIRST(b) b = s[0]; XOR3(b, c[4], d[0])

// Chi for one row.
#define CHI(row) { \
    lane_t first = b0, second = b1; \
    XOR_AND_NOT(b0, b1, b2) XOR_AND_NOT(b1, b2, b3) XOR_AND_NOT(b2, b3, b4) XOR_AND_NOT(b3, b4, first) \
    XOR_AND_NOT(b4, first, second) \
    t[row] = b0; t[row + 1] = b1; t[row + 2] = b2; t[row + 3] = b3; t[row + 4] = b4; }

#define FIRST_ROW() { TAKE_FIRST(b0) TAKE(b1, 6, 44) TAKE(b2, 12, 43) TAKE(b3, 18, 21) TAKE(b4, 24, 14) CHI(0) }

// The first `rounds` rounds. Not unrolled: as fast as unrolled code, and much faster to compile.
FULL_WIDTH static inline void keccak_rounds(lane_t *s, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        lane_t c[5], d[5], t[25], b0, b1, b2, b3, b4;
        PARITIES()
        FIRST_ROW()
        TAKE(b0, 3, 28) TAKE(b1, 9, 20) TAKE(b2, 10, 3) TAKE(b3, 16, 45) TAKE(b4, 22, 61) CHI(5)
        TAKE(b0, 1, 1) TAKE(b1, 7, 6) TAKE(b2, 13, 25) TAKE(b3, 19, 8) TAKE(b4, 20, 18) CHI(10)
        TAKE(b0, 4, 27) TAKE(b1, 5, 36) TAKE(b2, 11, 10) TAKE(b3, 17, 15) TAKE(b4, 23, 56) CHI(15)
        TAKE(b0, 2, 62) TAKE(b1, 8, 55) TAKE(b2, 14, 39) TAKE(b3, 15, 41) TAKE(b4, 21, 2) CHI(20)
#pragma unroll
        for (int i = 0; i < 25; i++)
            s[i] = t[i];
        s[0] ^= ROUND_CONSTANTS[round];
    }
}

FULL_WIDTH static inline void keccak_f(lane_t *s)
{
    keccak_rounds(s, 24);
}

// keccak_f whose last round computes s[0..3] alone: nothing else of a last block's state is read.
FULL_WIDTH static inline void keccak_f_digest(lane_t *s)
{
    keccak_rounds(s, 23);
    lane_t c[5], d[5], t[5], b0, b1, b2, b3, b4;
    PARITIES()
    FIRST_ROW()
    s[0] = t[0] ^ (lane_t)(ROUND_CONSTANTS[23]);
    s[1] = t[1];
    s[2] = t[2];
    s[3] = t[3];
}

static inline lane_t swap_bytes(lane_t x)
{
    x = ((x & 0x00FF00FF00FF00FFUL) << 8) | ((x >> 8) & 0x00FF00FF00FF00FFUL);
    x = ((x & 0x0000FFFF0000FFFFUL) << 16) | ((x >> 16) & 0x0000FFFF0000FFFFUL);
    return (x << 32) | (x >> 32);
}

static inline ulong swap_bytes_one(ulong x)
{
    x = ((x & 0x00FF00FF00FF00FFUL) << 8) | ((x >> 8) & 0x00FF00FF00FF00FFUL);
    x = ((x & 0x0000FFFF0000FFFFUL) << 16) | ((x >> 16) & 0x0000FFFF0000FFFFUL);
    return (x << 32) | (x >> 32);
}

static inline void clear_from(lane_t *s, int first)
{
    for (int i = first; i < 25; i++)
        s[i] = (lane_t)(0UL);
}

// keccak(seed || domain || be64(index)), 41 bytes; the digest is s[0..3].
FULL_WIDTH static inline void derive(lane_t *s, ulong4 seed, ulong domain, lane_t index)
{
    lane_t swapped = swap_bytes(index);
    s[0] = (lane_t)(seed.x);
    s[1] = (lane_t)(seed.y);
    s[2] = (lane_t)(seed.z);
    s[3] = (lane_t)(seed.w);
    s[4] = (swapped << 8) | (lane_t)(domain);
    s[5] = (swapped >> 56) | (lane_t)(0x100UL);
    clear_from(s, 6);
    s[16] = (lane_t)(PADDING_END);
    keccak_f_digest(s);
}

// keccak of the 32 bytes in s[0..3].
FULL_WIDTH static inline void keccak_word(lane_t *s)
{
    s[4] = (lane_t)(1UL);
    clear_from(s, 5);
    s[16] = (lane_t)(PADDING_END);
    keccak_f_digest(s);
}

// keccak(0x01 || left || right); left is in s[0..3] and right in r[0..3], the digest in s[0..3].
FULL_WIDTH static inline void keccak_node(lane_t *s, const lane_t *r)
{
    s[8] = (r[3] >> 56) | (lane_t)(0x100UL);
    s[7] = (r[3] << 8) | (r[2] >> 56);
    s[6] = (r[2] << 8) | (r[1] >> 56);
    s[5] = (r[1] << 8) | (r[0] >> 56);
    s[4] = (r[0] << 8) | (s[3] >> 56);
    s[3] = (s[3] << 8) | (s[2] >> 56);
    s[2] = (s[2] << 8) | (s[1] >> 56);
    s[1] = (s[1] << 8) | (s[0] >> 56);
    s[0] = (s[0] << 8) | (lane_t)(0x01UL);
    clear_from(s, 9);
    s[16] = (lane_t)(PADDING_END);
    keccak_f_digest(s);
}

// Hashes lie in memory as four u64 each, in the byte order of the digest. VECTOR_WIDTH of them, `stride` hashes apart:
static inline void load_hashes(lane_t *s, __global const ulong *from, ulong stride)
{
#if VECTOR_WIDTH == 8
    for (int j = 0; j < 4; j++)
        s[j] = (ulong8)(from[j], from[4 * stride + j], from[8 * stride + j], from[12 * stride + j],
                        from[16 * stride + j], from[20 * stride + j], from[24 * stride + j], from[28 * stride + j]);
#else
    for (int j = 0; j < 4; j++)
        s[j] = from[j];
#endif
}

static inline void store_hashes(const lane_t *s, __global ulong *to)
{
#if VECTOR_WIDTH == 8
#define STORE_HASH(i) vstore4((ulong4)(s[0].s##i, s[1].s##i, s[2].s##i, s[3].s##i), i, to);
    STORE_HASH(0) STORE_HASH(1) STORE_HASH(2) STORE_HASH(3)
    STORE_HASH(4) STORE_HASH(5) STORE_HASH(6) STORE_HASH(7)
#else
    vstore4((ulong4)(s[0], s[1], s[2], s[3]), 0, to);
#endif
}
