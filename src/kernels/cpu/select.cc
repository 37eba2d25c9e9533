// The table of instruction sets, and the choice between them.
#include "kernels/cpu/select.h"

#include <initializer_list>
#include <string>

#include "kernels/ref/ref.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace bonsai::kernels {
namespace {

// Best first.
constexpr const KernelTable* kTables[] = {
#if defined(__x86_64__)
    &kAvx512VnniKernels,
    &kAvx512Kernels,
    &kAvx2Kernels,
#elif defined(__aarch64__)
    &kI8mmKernels,
    &kDotprodKernels,
    &kNeonKernels,
#endif
    &kPortableKernels,
};
constexpr std::initializer_list<const FormatKernels*> kFormatKernels = {
#if defined(__x86_64__)
    &kAvx512FloatKernels,
    &kAvx512Q8Kernels,
    &kAvx2FloatKernels,
    &kAvx2CodeKernels,
#endif
};
constexpr const TokenKernels* kTokenTables[] = {
#if defined(__x86_64__)
    &kAvx512TokenKernels,
    &kAvx2TokenKernels,
#elif defined(__aarch64__)
    &kNeonTokenKernels,
#endif
    &kPortableTokenKernels,
};

/// Calls fn with each of the row kernels that are the table's own.
template <class Fn>
void ForEachRow(const KernelTable& table, Fn&& fn) {
  for (size_t i = 0; i < table.row_count; ++i) fn(table.rows[i]);
  for (const FormatKernels* more : kFormatKernels) {
    for (size_t i = 0; more->needs == table.needs && i < more->row_count; ++i) fn(more->rows[i]);
  }
}

}  // namespace

std::span<const KernelTable* const> AllKernelTables() { return kTables; }

uint32_t CpuBitsOf(const X86Features& f) {
  constexpr uint32_t kOsXsave = 1u << 27, kAvx = 1u << 28, kF16cFma = 1u << 29 | 1u << 12, kAvx2 = 1u << 5;
  constexpr uint64_t kXmmYmmState = 0x6;  // XCR0: without it the OS loses the upper halves at a context switch
  const bool ymm = (f.leaf1_ecx & (kOsXsave | kAvx)) == (kOsXsave | kAvx) && (f.xcr0 & kXmmYmmState) == kXmmYmmState;
  uint32_t bits = 0;
  if (ymm && (f.leaf1_ecx & kF16cFma) == kF16cFma && (f.leaf7_ebx & kAvx2) != 0) bits |= kCpuAvx2;
  constexpr uint32_t kFoundation = 1u << 16, kDq = 1u << 17, kBw = 1u << 30, kVl = 1u << 31;
  constexpr uint32_t kAvx512Ebx = kFoundation | kDq | kBw | kVl;
  constexpr uint32_t kVnni = 1u << 11;
  constexpr uint64_t kZmmState = 0xe0;  // mask registers, upper halves of zmm0-15, zmm16-31
  if (ymm && (f.xcr0 & kZmmState) == kZmmState && (f.leaf7_ebx & kAvx512Ebx) == kAvx512Ebx) {
    bits |= kCpuAvx512;
    if ((f.leaf7_ecx & kVnni) != 0) bits |= kCpuAvx512Vnni;
  }
  return bits;
}

X86Features ReadX86Features() {
  X86Features f;
#if defined(__x86_64__)
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) f.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) f.leaf7_ebx = ebx, f.leaf7_ecx = ecx;
  if ((f.leaf1_ecx & 1u << 27) != 0) {  // OSXSAVE: xgetbv exists
    uint32_t low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    f.xcr0 = uint64_t{high} << 32 | low;
  }
#endif
  return f;
}

uint32_t CpuBitsOf(const ArmFeatures& f) {
  constexpr uint64_t kAsimd = 1u << 1, kAsimdDp = 1u << 20;  // <asm/hwcap.h> of arm64
  constexpr uint64_t kI8mm2 = 1u << 13;
  uint32_t bits = 0;
  if ((f.hwcap & kAsimd) == 0) return bits;
  bits |= kCpuNeon;
  if ((f.hwcap & kAsimdDp) != 0) bits |= kCpuDotprod;
  if ((f.hwcap2 & kI8mm2) != 0) bits |= kCpuI8mm;
  return bits;
}

ArmFeatures ReadArmFeatures() {
  ArmFeatures f;
#if defined(__aarch64__)
  f.hwcap = ::getauxval(AT_HWCAP), f.hwcap2 = ::getauxval(AT_HWCAP2);
#endif
  return f;
}

uint32_t DetectCpuBits() { return CpuBitsOf(ReadX86Features()) | CpuBitsOf(ReadArmFeatures()); }

Result<const KernelTable*> SelectKernels(std::string_view wanted, uint32_t cpu_bits) {
  bool known = false;
  std::string available;
  for (const KernelTable* table : kTables) {
    known = known || wanted == table->name;
    if ((table->needs & ~cpu_bits) != 0) continue;
    if (wanted.empty() || wanted == table->name) return table;
    available += (available.empty() ? "" : ", ") + std::string(table->name);
  }
  return Error(ErrorCode::kInvalidArgument, "BONSAI_ISA={}: {}; use one of: {}", wanted,
               known ? "this CPU or operating system does not support it" : "this build has no such kernels",
               available);
}

RowKernels KernelsFor(const KernelTable& table, const quant::Type& type) {
  RowKernels kernels = {type.ggml_id, nullptr, ref::RowsF32};
  const int64_t part = type.dot_weights();
  if (type.dot_i8 != nullptr && quant::kActGroup % part == 0 && type.block_weights % part == 0) kernels.i8 = ref::RowI8;
  bool has_i8 = false, has_f32 = false;  // the nearest table's wins
  for (const KernelTable* t = &table; t != nullptr; t = t->base) {
    ForEachRow(*t, [&](const RowKernels& own) {
      if (own.ggml_id != type.ggml_id) return;
      if (!has_i8 && own.i8 != nullptr) kernels.i8 = own.i8, has_i8 = true;
      if (!has_f32 && own.f32 != nullptr) kernels.f32 = own.f32, has_f32 = true;
    });
  }
  return kernels;
}

const TokenKernels& TokenKernelsFor(const KernelTable& table) {
  for (const TokenKernels* token : kTokenTables) {
    if ((token->needs & ~table.needs) == 0) return *token;
  }
  return kPortableTokenKernels;
}

std::vector<const TileKernels*> TilesOf(const KernelTable& table) {
  std::vector<const TileKernels*> all;
  for (size_t i = 0; i < table.tile_count; ++i) all.push_back(&table.tiles[i]);
  for (const FormatKernels* more : kFormatKernels) {
    for (size_t i = 0; more->needs == table.needs && i < more->tile_count; ++i) all.push_back(&more->tiles[i]);
  }
  return all;
}

const TileKernels* TilesFor(const KernelTable& table, const quant::Type& type, int64_t cols) {
  if (cols % quant::kActGroup != 0) return nullptr;
  for (const KernelTable* t = &table; t != nullptr; t = t->base) {
    for (const TileKernels* tiles : TilesOf(*t)) {
      if (tiles->ggml_id == type.ggml_id) return tiles;
    }
  }
  return nullptr;
}

}  // namespace bonsai::kernels
