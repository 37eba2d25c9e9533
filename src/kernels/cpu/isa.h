// A CPU instruction set as data: a name, the CPU bits it needs, and its row kernels. One row of cpu/select.cc each.
//
// One answer. What a row kernel computes is defined down to the bit, so that neither the ISA, the batch size, the cut
// of a prompt into batches nor the number of threads can change an output. All float operations are rounded one by
// one, to nearest. Matrix products and what else is here fuse nothing; only attention does (ref/ref.h, AttendBlock).
//
//   int8 activations:  y = 0; for each block b of the row, ascending:  y = y + (dw[b] · dx[g]) · float(isum[b])
//     isum[b] = Σ code·q over the block, exact in int32; dw[b] its weight scale; dx[g] the scale of the activation
//     group (128 columns) that holds the block. A block wider than 128 columns (TQ2_0: 256) counts as one block of the
//     same scale for each group. float(isum) is exact: |isum| ≤ 128·127·127 < 2^24.
//   float activations: y = 0; for each group g of 128 columns, ascending:  y = y + s[g]
//     Q1_0:    s[g] = d[g] · LaneSum(±x)     (lanes.h)
//     others:  s[g] = LaneDot(w, x), w decoded to float
#pragma once

#include <cstddef>
#include <cstdint>

// Nothing else of ours is included: what a header defines inline could be emitted by the object of an ISA.
namespace bonsai::quant {
struct Type;
}

namespace bonsai::kernels {

enum class KvType;  // kernels/ops.h

/// Rows of int8 activations: row t starts at q + t·stride, its scales (one a group) at scales + t·scale_stride.
struct I8Rows {
  const int8_t* q;
  int64_t stride;
  const float* scales;
  int64_t scale_stride;
};

/// Rows of float activations: row t starts at x + t·stride. Columns from `cols` to the next multiple of 128 are zero.
struct F32Rows {
  const float* x;
  int64_t stride;
};

/// y[t] = w · x[t] for t in 0..n-1, for one row of weights of `cols` columns (a multiple of the type's block).
/// Nothing needs alignment. Pure, thread safe.
using I8RowKernel = void (*)(const quant::Type& type, const std::byte* w, int64_t cols, const I8Rows& x, int64_t n,
                             float* y);

/// `count` (1..kBandRows) stored rows of `cols` columns: row r starts at w + r·row_bytes.
struct WeightRows {
  const std::byte* w;
  int64_t row_bytes, count, cols;
};
inline constexpr int64_t kBandRows = 64;

/// y[kBandRows·t + r] = row r of w · x[t] for t in 0..n-1; what y holds for rows from w.count to kBandRows is
/// unspecified. Nothing needs alignment. Pure, thread safe.
using F32RowsKernel = void (*)(const quant::Type& type, const WeightRows& w, const F32Rows& x, int64_t n, float* y);

/// The fast kernels for one weight format. Null: the reference kernel serves.
struct RowKernels {
  uint32_t ggml_id;
  I8RowKernel i8;
  F32RowsKernel f32;
};

/// Weights rearranged when they are loaded, so that one register holds many rows: a band is kBandRows rows, and a tile
/// is a band × one group of 128 columns. A matrix is its bands, a band its tiles in column order. The last band is
/// filled with rows of zero scale. The layout is the table's own; cpu/tiles.h has those that exist.

/// Kernels over tiles, for int8 activations. They give the same bits as the row kernels. Tiles, look-up tables
/// and scratch are aligned to 64 bytes. All pure and thread safe.
struct TileKernels {
  uint32_t ggml_id;
  int64_t tile_bytes;
  /// `rows` (1..64) stored rows, row_bytes apart, into one band of `groups` tiles.
  void (*pack)(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t groups, std::byte* band);
  /// One row of a band, back in its stored form.
  void (*unpack)(const std::byte* band, int64_t row, int64_t groups, std::byte* out);

  int64_t most_singly;  ///< Up to this many tokens `one` is called for each in turn: it is faster. 0: it is null.
  int64_t table_bytes;  ///< Of the look-up tables of one token and one group.
  /// For one token: the look-up tables of `groups` groups of codes, for `one`.
  void (*make_tables)(const int8_t* q, int64_t groups, std::byte* tables);
  /// One token: y[0..64·bands-1] = bands · x.
  void (*one)(const std::byte* band, int64_t bands, int64_t groups, const std::byte* tables, const float* scales,
              float* y);

  /// For many tokens: what `many` needs to know of each group of codes. Of two bits a weight the sums of the two 64
  /// columns, as int16 in the low and the high half of the word; of AVX2's look-ups the sum of the magnitudes. Null:
  /// nothing.
  void (*sum_groups)(const int8_t* q, int64_t groups, int32_t* sums);
  int64_t most_bands, most_tokens;  ///< What `many` takes at once.
  int64_t scratch_bytes;            ///< What it works in.
  /// n tokens: y[64·(n·b + t) + r] = row r of band b · x[t]; sums (a row every x.scale_stride) are from
  /// `sum_groups`.
  void (*many)(const std::byte* band, int64_t bands, int64_t groups, const I8Rows& x, const int32_t* sums, int64_t n,
               std::byte* scratch, float* y);
};

/// Keys and values of one KV head in one KV block, as kv_type.h lays them out.
struct KvRows {
  KvType k_type, v_type;
  const std::byte* k;
  const std::byte* v;
  int64_t k_width, v_width;
  const std::byte* next;  ///< Keys of the block to be read after this one, values right behind: to prefetch. Or null.
};

/// One query head of one row of the batch, on its way through the KV blocks of its sequence.
struct AttendQuery {
  const float* q = nullptr;  ///< k_width. Read when keys are floats.
  /// The same as int8, read when keys are quantised: k_width codes, and for each 32 of them a scale (as in
  /// quant/act_i8.h, which has groups of 128) and the sum of the codes.
  const int8_t* codes = nullptr;
  const float* scales = nullptr;
  const int32_t* sums = nullptr;
  float* out = nullptr;  ///< v_width: Σ exp(score - max) · v so far; starts at zeros.
  float max = 0;         ///< Largest score; starts at -infinity.
  float sum = 0;         ///< Σ exp(score - max).
  int32_t visible = 0;   ///< Positions of the current block that it sees, from the first: 0..kKvBlock.
};

/// What a token needs besides matrix products. Each gives the bits of the function of ref/ref.h (or quant/act_i8.h)
/// that it names. All pure and thread safe. They do not depend on weight formats, so a kernel table has none of its
/// own: it uses the best whose needs it shares.
struct TokenKernels {
  uint32_t needs;  ///< CpuBits.
  /// ref::AttendBlock for each of `count` queries. v_width is a multiple of 16 (of 1 in the portable table).
  void (*attend)(const KvRows& kv, float scale, AttendQuery* queries, int32_t count);
  /// ref::RmsNorm.
  void (*rms_norm)(const float* x, const float* gain, float eps, int64_t n, float* out);
  /// ref::SwiGlu and ref::Relu2Glu.
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
  void (*relu2_glu)(const float* gate, const float* up, int64_t n, float* out);
  /// quant::QuantizeRowI8.
  void (*quantize)(const float* x, int64_t cols, int8_t* q, float* scales);
};

/// CPU bits. A bit is set when the CPU has the instructions and the operating system saves the registers.
enum CpuBits : uint32_t {
  kCpuAvx2 = 1u << 0,        ///< AVX2, F16C and FMA, with the upper halves of ymm saved.
  kCpuAvx512 = 1u << 1,      ///< AVX-512 F, BW, DQ and VL, with zmm and mask registers saved.
  kCpuAvx512Vnni = 1u << 2,  ///< AVX-512 VNNI.
  kCpuNeon = 1u << 3,        ///< Advanced SIMD of 64-bit ARM.
  kCpuDotprod = 1u << 4,     ///< Its dot products of bytes, sdot.
  kCpuI8mm = 1u << 5,        ///< Its matrix products of bytes, smmla.
};

/// The int8 dot product that a table's kernels are made of, on registers alone, for kernels/ceilings.h.
struct DotLoop {
  const char* instruction;         ///< "vpdpbusd zmm".
  int64_t (*run)(int64_t rounds);  ///< Returns how many multiply-adds the rounds made. Pure, thread safe.
};

struct KernelTable {
  const char* name;  ///< As BONSAI_ISA names it: "avx2".
  uint32_t needs;    ///< CpuBits.
  const RowKernels* rows;
  size_t row_count;
  const TileKernels* tiles;
  size_t tile_count;
  const KernelTable* base;           ///< Serves what this table lacks; null for the portable one.
  DotLoop dot = {nullptr, nullptr};  ///< Empty: that of the base.
};

/// Kernels for formats that have an object of their own. They belong to the table that needs the same CPU bits.
struct FormatKernels {
  uint32_t needs;  ///< CpuBits.
  const RowKernels* rows;
  size_t row_count;
  const TileKernels* tiles;
  size_t tile_count;
};

/// Portable C++: always there, and the definition of right.
extern const KernelTable kPortableKernels;
extern const TokenKernels kPortableTokenKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512VnniKernels;
extern const FormatKernels kAvx2FloatKernels;
extern const FormatKernels kAvx2CodeKernels;
extern const FormatKernels kAvx512FloatKernels;
extern const FormatKernels kAvx512Q8Kernels;
extern const TokenKernels kAvx2TokenKernels;
extern const TokenKernels kAvx512TokenKernels;
#endif
#if defined(__aarch64__)
extern const KernelTable kNeonKernels;
extern const KernelTable kDotprodKernels;
extern const KernelTable kI8mmKernels;
extern const TokenKernels kNeonTokenKernels;
#endif

}  // namespace bonsai::kernels
