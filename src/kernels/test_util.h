// Shared by the tests of the CPU device: objects filled with known values, and a look inside them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/storage.h"
#include "kernels/ops.h"
#include "kernels/ref/ref.h"
#include "quant/types.h"

namespace bonsai::kernels::test {

/// Half a unit in the last place of 1: the relative error of one float rounding.
inline constexpr double kRound = 0x1p-24;

/// n floats, uniform in [-1, 1).
inline std::vector<float> Randoms(int64_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = static_cast<float>(rng.Uniform() * 2 - 1);
  return values;
}

/// A device, with BONSAI_ISA set to `isa` while it is made (as the environment has it when empty).
inline std::unique_ptr<Device> MakeDevice(int threads, ActType act, const std::string& isa = "") {
  const char* before = std::getenv("BONSAI_ISA");
  const std::string saved = before != nullptr ? before : "";
  if (!isa.empty()) ::setenv("BONSAI_ISA", isa.c_str(), 1);
  auto device = NewCpuDevice({.threads = threads, .act = act});
  if (!isa.empty()) before != nullptr ? ::setenv("BONSAI_ISA", saved.c_str(), 1) : ::unsetenv("BONSAI_ISA");
  EXPECT_TRUE(device) << (device ? "" : device.error().message());
  return device ? std::move(*device) : nullptr;
}

/// A rows × cols matrix of a format, and the values that are stored.
struct TestMatrix {
  std::unique_ptr<Matrix> w;
  std::vector<std::byte> bytes;
  std::vector<float> values;  // decoded
};

inline TestMatrix MakeMatrix(Device& device, std::string_view type_name, int64_t rows, int64_t cols, uint64_t seed) {
  const quant::Type* type = quant::FindByName(type_name);
  TestMatrix m;
  const auto row_bytes = static_cast<int64_t>(*type->RowBytes(cols));
  m.bytes.resize(static_cast<size_t>(rows * row_bytes));
  m.values = Randoms(rows * cols, seed);
  type->encode(m.values.data(), m.bytes.data(), rows * cols);
  type->decode(m.bytes.data(), m.values.data(), rows * cols);
  auto w = device.LoadMatrix({type, rows, cols}, [&](int64_t row, int64_t, std::span<std::byte> out) -> Status {
    std::copy_n(m.bytes.begin() + row * row_bytes, out.size(), out.begin());
    return {};
  });
  EXPECT_TRUE(w);
  m.w = std::move(*w);
  return m;
}

inline float* RowOf(Tensor& t, int64_t row) { return static_cast<cpu::CpuTensor&>(t).row(row); }
inline float* RowOf(Act& a, int64_t row) { return static_cast<cpu::CpuAct&>(a).row(row); }
inline cpu::CpuAct& CpuActOf(Act& a) { return static_cast<cpu::CpuAct&>(a); }

inline std::unique_ptr<Tensor> MakeTensor(Device& device, int64_t rows, int64_t cols,
                                          const std::vector<float>& values = {}) {
  auto t = device.NewTensor(rows, cols);
  EXPECT_TRUE(t);
  if (!values.empty()) std::copy_n(values.begin(), rows * cols, RowOf(**t, 0));
  return std::move(*t);
}

inline std::unique_ptr<Vector> MakeVector(Device& device, const std::vector<float>& values) {
  return std::move(*device.LoadVector(values));
}

/// An Act that holds the given rows, in the forms that `consumers` need.
inline std::unique_ptr<Act> MakeAct(Device& device, int64_t rows, int64_t cols,
                                    const std::vector<const Matrix*>& consumers,
                                    const std::vector<float>& values = {}) {
  auto act = device.NewAct(rows, cols, consumers);
  EXPECT_TRUE(act);
  for (int64_t t = 0; t < rows && !values.empty(); ++t) {
    std::copy_n(values.begin() + t * cols, cols, RowOf(**act, t));
    CpuActOf(**act).Finish(t);
  }
  return std::move(*act);
}

/// The key or the value that a KV block holds for a position, rounded to float.
inline std::vector<float> StoredKey(KvType type, const std::byte* keys, int64_t width, int64_t slot) {
  std::vector<float> all(static_cast<size_t>(kKvBlock * width)), out;
  ref::DecodeKeys(type, keys, width, all.data());
  for (int64_t d = 0; d < width; ++d) out.push_back(all[static_cast<size_t>(d * kKvBlock + slot)]);
  return out;
}
inline std::vector<float> StoredValue(KvType type, const std::byte* values, int64_t width, int64_t slot) {
  std::vector<float> out(static_cast<size_t>(width)), scales(out.size());
  ref::ValueCodes(type, values, width, slot, out.data(), scales.data());
  for (size_t d = 0; d < out.size() && KvBlockWidth(type) > 1; ++d) out[d] *= scales[d / kKvGroup];
  return out;
}

/// All rows of a tensor.
inline std::vector<float> Values(Tensor& t, int64_t rows) { return {RowOf(t, 0), RowOf(t, 0) + rows * t.cols()}; }

}  // namespace bonsai::kernels::test
