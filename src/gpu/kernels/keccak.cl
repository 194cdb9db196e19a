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
#else
#define XOR3(x, a, b) x ^= (a) ^ (b);
#endif

#ifdef __x86_64__
// Without it LLVM may split a vector of 512 bits in two, and the state no longer fits the registers.
#define FULL_WIDTH __attribute__((min_vector_width(512), always_inline))
#define FULL_WIDTH_KERNEL __attribute__((min_vector_width(512)))
#else
#define FULL_WIDTH
#define FULL_WIDTH_KERNEL
#endif

#define PARITY(i) (s[i] ^ s[i + 5] ^ s[i + 10] ^ s[i + 15] ^ s[i + 20])
#define THETA(c, d0, d1) { t = ROTATE_LEFT(d1, 1); \
    XOR3(s[c], d0, t) XOR3(s[c + 5], d0, t) XOR3(s[c + 10], d0, t) XOR3(s[c + 15], d0, t) XOR3(s[c + 20], d0, t) }
#define RHO_PI(target, n) { u = s[target]; s[target] = ROTATE_LEFT(t, n); t = u; }
#define CHI(r) { lane_t a = s[r], b = s[r + 1]; \
    s[r] ^= ~b & s[r + 2]; s[r + 1] ^= ~s[r + 2] & s[r + 3]; s[r + 2] ^= ~s[r + 3] & s[r + 4]; \
    s[r + 3] ^= ~s[r + 4] & a; s[r + 4] ^= ~a & b; }

// The first `rounds` rounds. Not unrolled: as fast as unrolled code, and much faster to compile.
FULL_WIDTH static inline void keccak_rounds(lane_t *s, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        lane_t t, u, c0 = PARITY(0), c1 = PARITY(1), c2 = PARITY(2), c3 = PARITY(3), c4 = PARITY(4);
        THETA(0, c4, c1) THETA(1, c0, c2) THETA(2, c1, c3) THETA(3, c2, c4) THETA(4, c3, c0)
        t = s[1];
        RHO_PI(10, 1) RHO_PI(7, 3) RHO_PI(11, 6) RHO_PI(17, 10) RHO_PI(18, 15) RHO_PI(3, 21)
        RHO_PI(5, 28) RHO_PI(16, 36) RHO_PI(8, 45) RHO_PI(21, 55) RHO_PI(24, 2) RHO_PI(4, 14)
        RHO_PI(15, 27) RHO_PI(23, 41) RHO_PI(19, 56) RHO_PI(13, 8) RHO_PI(12, 25) RHO_PI(2, 43)
        RHO_PI(20, 62) RHO_PI(14, 18) RHO_PI(22, 39) RHO_PI(9, 61) RHO_PI(6, 20) RHO_PI(1, 44)
        CHI(0) CHI(5) CHI(10) CHI(15) CHI(20)
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
    lane_t c0 = PARITY(0), c1 = PARITY(1), c2 = PARITY(2), c3 = PARITY(3), c4 = PARITY(4);
    lane_t b0 = s[0], b1 = s[6], b2 = s[12], b3 = s[18], b4 = s[24];
    b0 ^= c4 ^ ROTATE_LEFT(c1, 1);
    b1 ^= c0 ^ ROTATE_LEFT(c2, 1);
    b2 ^= c1 ^ ROTATE_LEFT(c3, 1);
    b3 ^= c2 ^ ROTATE_LEFT(c4, 1);
    b4 ^= c3 ^ ROTATE_LEFT(c0, 1);
    b1 = ROTATE_LEFT(b1, 44);
    b2 = ROTATE_LEFT(b2, 43);
    b3 = ROTATE_LEFT(b3, 21);
    b4 = ROTATE_LEFT(b4, 14);
    s[0] = b0 ^ (~b1 & b2) ^ (lane_t)(ROUND_CONSTANTS[23]);
    s[1] = b1 ^ (~b2 & b3);
    s[2] = b2 ^ (~b3 & b4);
    s[3] = b3 ^ (~b4 & b0);
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
