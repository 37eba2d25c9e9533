// The public test suite of JSON parsers. Needs BONSAI_TEST_DATA.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/json.h"
#include "tests/support.h"

namespace bonsai {
namespace {

// https://github.com/nst/JSONTestSuite: y must parse, n must not, i is free. We refuse two that must parse: a key
// twice.
TEST(JsonTestSuite, AllCases) {
  const std::string folder = test::DataPath("suites/JSONTestSuite/test_parsing");
  if (folder.empty()) GTEST_SKIP() << "needs BONSAI_TEST_DATA";
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool parsed = ParseJson(name, test::ReadFile(entry.path().string())).ok();
    const bool twice = name == "y_object_duplicated_key.json" || name == "y_object_duplicated_key_and_value.json";
    if (name[0] != 'i') {
      EXPECT_EQ(parsed, name[0] == 'y' && !twice) << name;
    }
    checked++;
  }
  EXPECT_GT(checked, 300);
}

}  // namespace
}  // namespace bonsai
