// Model files written again in other containers, for tests that cross folders.
#pragma once

#include <gtest/gtest.h>

#include "formats/hf_writer.h"
#include "formats/model_file.h"
#include "tests/support.h"

namespace bonsai::test {

/// A sink that writes to `path`, which the caller may then read.
inline formats::GgufSink FileSink(const std::string& path) {
  auto out = std::make_shared<std::ofstream>(path, std::ios::binary);
  return [out](std::span<const std::byte> bytes) -> Status {
    out->write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out->flush();
    return {};
  };
}

/// All tensors of a file, to be written in the formats that they have.
inline std::vector<formats::GgufTensor> TensorsOf(const formats::ModelFile& file) {
  std::vector<formats::GgufTensor> tensors;
  for (const auto& t : file.tensors()) tensors.push_back({t.name, t.shape, t.type});
  return tensors;
}

/// Emits tensor `i` of the file, `first` being the file's index of tensor 0.
inline formats::GgufFill FillFrom(const formats::ModelFile& file, size_t first = 0) {
  return [&file, first](size_t i, const formats::GgufSink& emit) -> Status {
    const formats::TensorInfo& t = file.tensors()[first + i];
    std::vector<std::byte> rows(t.bytes);
    BONSAI_RETURN_IF_ERROR(file.ReadRows(t, 0, t.rows(), rows));
    return emit(rows);
  };
}

/// Writes the model as a Hugging Face directory, and expects the sizes that were planned.
inline void WriteDirectory(const formats::ModelFile& file, const std::string& path, uint64_t shard_bytes) {
  const auto model = formats::HfModelOf(file);
  ASSERT_TRUE(model.ok()) << model.error().message();
  const auto plan = formats::PlanHfDir(file.metadata(), *model, TensorsOf(file), {.shard_bytes = shard_bytes});
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  std::filesystem::create_directory(path);
  const Status status = formats::WriteHfDir(
      *plan, FillFrom(file),
      [&](std::string_view name) -> Result<formats::GgufSink> { return FileSink(path + "/" + std::string(name)); });
  ASSERT_TRUE(status.ok()) << status.error().message();
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) bytes += entry.file_size();
  EXPECT_EQ(bytes, plan->bytes);
}

/// Both hold the same tensors, bit for bit, and the same values of the keys that begin like one of `prefixes`.
inline void ExpectSameModel(const formats::ModelFile& a, const formats::ModelFile& b,
                            const std::vector<std::string>& prefixes) {
  EXPECT_EQ(a.tensors().size(), b.tensors().size());
  for (const formats::TensorInfo& t : a.tensors()) {
    const formats::TensorInfo* u = b.FindTensor(t.name);
    ASSERT_NE(u, nullptr) << t.name;
    EXPECT_EQ(t.type, u->type) << t.name;
    ASSERT_EQ(t.shape, u->shape) << t.name;
    ASSERT_EQ(t.bytes, u->bytes) << t.name;
    std::vector<std::byte> mine(t.bytes), other(t.bytes);
    ASSERT_TRUE(a.ReadRows(t, 0, t.rows(), mine));
    const Status read = b.ReadRows(*u, 0, u->rows(), other);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(mine, other) << t.name;
  }
  for (const auto& [key, value] : a.metadata().entries()) {
    const auto begins = [k = std::string_view(key)](const std::string& prefix) { return k.starts_with(prefix); };
    if (std::none_of(prefixes.begin(), prefixes.end(), begins)) continue;
    const formats::Value* again = b.metadata().Find(key);
    ASSERT_NE(again, nullptr) << key;
    EXPECT_EQ(again->data, value.data) << key;  // how wide an integer is stored may differ
  }
}

}  // namespace bonsai::test
