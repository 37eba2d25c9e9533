// Where tests find files. Header-only, no project code.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace bonsai::test {

/// A path inside the source tree.
inline std::string SourcePath(const std::string& relative) {
  const char* root = std::getenv("BONSAI_SOURCE_DIR");
  return std::string(root != nullptr ? root : ".") + "/" + relative;
}

/// A path inside the optional test data, or empty when that file is absent. A test that needs it says
/// `if (path.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";`
inline std::string DataPath(const std::string& relative) {
  const char* root = std::getenv("BONSAI_TEST_DATA");
  const std::string path = std::string(root != nullptr ? root : "../shared/data") + "/" + relative;
  return std::filesystem::exists(path) ? path : std::string();
}

/// The bytes of a file; empty when it cannot be read.
inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// A fresh directory that is removed, contents and all, at the end of the scope.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "bonsai-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace bonsai::test
