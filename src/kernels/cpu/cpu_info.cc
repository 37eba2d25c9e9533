#include "kernels/cpu_info.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "kernels/cpu/runs_as.h"
#include "kernels/cpu/select.h"
#include "kernels/ref/ref.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace bonsai::kernels {
namespace {

/// The value of the first "name : value" line of /proc/cpuinfo; empty without one.
std::string CpuinfoField(std::string_view name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, name.size(), name) != 0) continue;
    if (line.find_first_not_of(" \t", name.size()) != colon) continue;
    const size_t value = line.find_first_not_of(' ', colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

#if defined(__x86_64__)
using Features = X86Features;
constexpr auto ReadFeatures = ReadX86Features;
#else
using Features = ArmFeatures;
constexpr auto ReadFeatures = ReadArmFeatures;
#endif

/// What a table's CpuBits are made of, by the names of /proc/cpuinfo. `bit` 0: of interest, but nothing asks for it.
struct Feature {
  uint32_t bit;
  const char* name;
  bool (*has)(const Features& f);
};

#if defined(__x86_64__)

constexpr const char* kArchitecture = "x86-64";

bool Xcr0(const X86Features& f, uint64_t state) { return (f.xcr0 & state) == state; }
constexpr Feature kFeatures[] = {
    {kCpuAvx2, "avx", [](const X86Features& f) { return (f.leaf1_ecx >> 28 & 1) != 0; }},
    {kCpuAvx2, "fma", [](const X86Features& f) { return (f.leaf1_ecx >> 12 & 1) != 0; }},
    {kCpuAvx2, "f16c", [](const X86Features& f) { return (f.leaf1_ecx >> 29 & 1) != 0; }},
    {kCpuAvx2, "avx2", [](const X86Features& f) { return (f.leaf7_ebx >> 5 & 1) != 0; }},
    {kCpuAvx2, "ymm state (XCR0)", [](const X86Features& f) { return Xcr0(f, 0x6); }},
    {kCpuAvx512, "avx512f", [](const X86Features& f) { return (f.leaf7_ebx >> 16 & 1) != 0; }},
    {kCpuAvx512, "avx512dq", [](const X86Features& f) { return (f.leaf7_ebx >> 17 & 1) != 0; }},
    {kCpuAvx512, "avx512bw", [](const X86Features& f) { return (f.leaf7_ebx >> 30 & 1) != 0; }},
    {kCpuAvx512, "avx512vl", [](const X86Features& f) { return (f.leaf7_ebx >> 31 & 1) != 0; }},
    {kCpuAvx512Vnni, "avx512_vnni", [](const X86Features& f) { return (f.leaf7_ecx >> 11 & 1) != 0; }},
    {kCpuAvx512, "zmm state (XCR0)", [](const X86Features& f) { return Xcr0(f, 0xe6); }},
};

std::string ModelName() {
  uint32_t words[12] = {};
  if (static_cast<uint32_t>(__get_cpuid_max(0x80000000u, nullptr)) < 0x80000004u) return CpuinfoField("model name");
  for (uint32_t i = 0; i < 3; ++i) {
    uint32_t* w = words + 4 * i;
    __get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3]);
  }
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  return text;
}

#else

#if defined(__aarch64__)
constexpr const char* kArchitecture = "arm64";
constexpr Feature kFeatures[] = {
    {kCpuNeon, "asimd", [](const ArmFeatures& f) { return (f.hwcap >> 1 & 1) != 0; }},
    {kCpuDotprod, "asimddp", [](const ArmFeatures& f) { return (f.hwcap >> 20 & 1) != 0; }},
    {kCpuI8mm, "i8mm", [](const ArmFeatures& f) { return (f.hwcap2 >> 13 & 1) != 0; }},
    {0, "asimdhp", [](const ArmFeatures& f) { return (f.hwcap >> 10 & 1) != 0; }},
    {0, "sve", [](const ArmFeatures& f) { return (f.hwcap >> 22 & 1) != 0; }},
    {0, "sve2", [](const ArmFeatures& f) { return (f.hwcap2 >> 1 & 1) != 0; }},
    {0, "bf16", [](const ArmFeatures& f) { return (f.hwcap2 >> 14 & 1) != 0; }},
};
#else
constexpr const char* kArchitecture = "unknown";
constexpr std::array<Feature, 0> kFeatures = {};
#endif

std::string ModelName() {
  if (std::string name = CpuinfoField("model name"); !name.empty()) return name;
  const std::string maker = CpuinfoField("CPU implementer"), part = CpuinfoField("CPU part");
  return maker.empty() ? "" : fmt::format("implementer {}, part {}", maker, part);
}

#endif

std::vector<std::string> FoundFeatures() {
  const Features f = ReadFeatures();
  std::vector<std::string> found;
  for (const Feature& feature : kFeatures)
    if (feature.has(f)) found.emplace_back(feature.name);
  return found;
}

/// Names for CpuBits that are not there.
std::vector<std::string> Missing(uint32_t bits) {
  const Features f = ReadFeatures();
  std::vector<std::string> missing;
  for (const Feature& feature : kFeatures)
    if ((feature.bit & bits) != 0 && !feature.has(f)) missing.emplace_back(feature.name);
  if (missing.empty()) missing.push_back(fmt::format("CPU bits {:#x}", bits));
  return missing;
}

/// The table that owns the row kernel which `table` uses for a format: the last one that still uses it on the way to
/// the portable one. Null for the reference's.
template <class Kernel>
const KernelTable* OwnerOf(const KernelTable* table, const quant::Type& type, Kernel RowKernels::*field,
                           Kernel reference) {
  const Kernel kernel = KernelsFor(*table, type).*field;
  if (kernel == reference) return nullptr;
  while (table->base != nullptr && KernelsFor(*table->base, type).*field == kernel) table = table->base;
  return table;
}

KernelPath PathOf(const KernelTable* owner) {
  if (owner == nullptr) return KernelPath::kReference;
  return owner == &kPortableKernels ? KernelPath::kPortable : KernelPath::kRows;
}

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

}  // namespace

std::string_view KernelPathName(KernelPath path) {
  switch (path) {
    case KernelPath::kTiles:
      return "tiles";
    case KernelPath::kRows:
      return "rows";
    case KernelPath::kPortable:
      return "portable";
    case KernelPath::kReference:
      return "reference";
    case KernelPath::kFloat:
      return "float";
  }
  return "unknown";
}

Result<CpuInfo> DescribeCpu() {
  const char* isa = std::getenv("BONSAI_ISA");
  const uint32_t bits = DetectCpuBits();
  CpuInfo info;
  info.forced = isa != nullptr ? isa : "";
  BONSAI_ASSIGN(const KernelTable* chosen, SelectKernels(info.forced, bits));
  info.model = Trimmed(ModelName());
  if (info.model.empty()) info.model = "unknown CPU";
  info.architecture = kArchitecture;
  info.features = FoundFeatures();
  info.table = chosen->name;
  info.last_level_cache = LastLevelCacheBytes();
  for (const KernelTable* table : AllKernelTables()) {
    const uint32_t lacks = table->needs & ~bits;
    info.isas.push_back({table->name, lacks == 0, lacks == 0 ? std::vector<std::string>{} : Missing(lacks)});
  }
  return info;
}

WeightKernels DescribeKernels(const quant::Type& stored, std::string_view name) {
  const quant::Type& type = cpu::RunsAs(stored, ref::kDecodeChunk);
  const KernelTable* table = &kPortableKernels;
  for (const KernelTable* t : AllKernelTables())
    if (t->name == name) table = t;
  const KernelTable* f32 = OwnerOf(table, type, &RowKernels::f32, F32RowsKernel{ref::RowsF32});
  WeightKernels w = {&type, KernelPath::kFloat, PathOf(f32), "", f32 != nullptr ? f32->name : ""};
  if (KernelsFor(*table, type).i8 == nullptr) return w;
  const TileKernels* tiles = TilesFor(*table, type, quant::kActGroup);
  const KernelTable* i8 = OwnerOf(table, type, &RowKernels::i8, I8RowKernel{ref::RowI8});
  if (tiles != nullptr) {
    for (i8 = table; i8->base != nullptr && TilesFor(*i8->base, type, quant::kActGroup) == tiles;) i8 = i8->base;
  }
  if (tiles != nullptr) w.most_singly = tiles->most_singly, w.most_together = tiles->most_tokens;
  w.i8 = tiles != nullptr ? KernelPath::kTiles : PathOf(i8);
  w.i8_isa = i8 != nullptr ? i8->name : "";
  return w;
}

uint64_t LastLevelCacheBytes() {
  uint64_t largest = 0;
  for (int i = 0; i < 8; ++i) {
    std::ifstream in(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", i));
    uint64_t size = 0;
    char unit = 0;
    if (!(in >> size)) continue;
    in >> unit;
    largest = std::max(largest, unit == 'M' ? size << 20 : unit == 'K' ? size << 10 : size);
  }
  return largest != 0 ? largest : uint64_t{32} << 20;
}

}  // namespace bonsai::kernels
