#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace bonsai {
namespace {

Result<int> Half(int x) {
  if (x % 2 != 0) return Error(ErrorCode::kInvalidArgument, "{} is odd", x);
  return x / 2;
}

Status CheckEven(int x, int& calls) {
  calls++;
  if (x % 2 != 0) return Error(ErrorCode::kCorrupt, "{} is odd", x);
  return {};
}

Result<std::string> Quarter(int x) {
  BONSAI_ASSIGN(const int half, Half(x));
  BONSAI_ASSIGN(const int quarter, Half(half));
  return std::to_string(quarter);
}

Status Both(int a, int b, int& calls) {
  BONSAI_RETURN_IF_ERROR(CheckEven(a, calls));
  BONSAI_RETURN_IF_ERROR(CheckEven(b, calls));
  return {};
}

Result<std::unique_ptr<int>> MoveOnly(bool ok) {
  if (!ok) return Error(ErrorCode::kIo, "no");
  return std::make_unique<int>(7);
}

Result<int> Unwrap(bool ok) {
  BONSAI_ASSIGN(auto p, MoveOnly(ok));
  return *p;
}

TEST(Status, AssignReturnsTheError) {
  EXPECT_EQ(*Quarter(20), "5");
  EXPECT_EQ(Quarter(7).error().message(), "7 is odd");
  EXPECT_EQ(Quarter(14).error().message(), "7 is odd");
  EXPECT_EQ(Quarter(14).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Status, AssignMovesTheValue) {
  EXPECT_EQ(*Unwrap(true), 7);
  EXPECT_EQ(Unwrap(false).error().code(), ErrorCode::kIo);
}

TEST(Status, ReturnIfErrorEvaluatesOnceAndStops) {
  int calls = 0;
  EXPECT_TRUE(Both(2, 4, calls).ok());
  EXPECT_EQ(calls, 2);
  calls = 0;
  const Status s = Both(3, 5, calls);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.error().message(), "3 is odd");
  EXPECT_EQ(calls, 1);
}

TEST(Status, PrefixKeepsTheCode) {
  const ErrorValue e = Error(ErrorCode::kCorrupt, "block_count is {}", 0).WithPrefix("a.gguf");
  EXPECT_EQ(e.code(), ErrorCode::kCorrupt);
  EXPECT_EQ(e.message(), "a.gguf: block_count is 0");
}

TEST(Status, DefaultsAreOk) {
  EXPECT_TRUE(Status().ok());
  EXPECT_TRUE(Result<int>().ok());
  EXPECT_EQ(*Result<int>(), 0);
}

TEST(Status, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (int c = 0; c <= static_cast<int>(ErrorCode::kBusy); c++) names.insert(ErrorCodeName(static_cast<ErrorCode>(c)));
  EXPECT_EQ(names.size(), static_cast<size_t>(ErrorCode::kBusy) + 1);
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_EQ(ErrorCodeName(ErrorCode::kCorrupt), "corrupt");
}

}  // namespace
}  // namespace bonsai
