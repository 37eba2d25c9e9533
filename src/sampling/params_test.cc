#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "formats/metadata.h"
#include "sampling/sampler.h"

namespace bonsai::sampling {
namespace {

using formats::Metadata;
using formats::Value;
using formats::ValueKind;

Value Int(int64_t x) { return {ValueKind::kI32, ValueKind::kU32, x}; }
Value Float(double x) { return {ValueKind::kF32, ValueKind::kU32, x}; }

std::string ErrorOf(void (*change)(Params&)) {
  Params p;
  change(p);
  const Status s = Validate(p);
  if (s.ok()) return "";
  EXPECT_EQ(s.error().code(), ErrorCode::kInvalidArgument);
  return s.error().message();
}

TEST(Params, ValidateNamesTheFlag) {
  EXPECT_TRUE(Validate(Params{}).ok());
  EXPECT_EQ(ErrorOf([](Params& p) { p.top_p = 1.5f; }), "--top-p must be from 0 to 1, not 1.5");
  EXPECT_EQ(ErrorOf([](Params& p) { p.top_p = -0.5f; }), "--top-p must be from 0 to 1, not -0.5");
  EXPECT_EQ(ErrorOf([](Params& p) { p.temperature = -1; }), "--temp must be a finite number, 0 or more, not -1");
  EXPECT_EQ(ErrorOf([](Params& p) { p.temperature = NAN; }), "--temp must be a finite number, 0 or more, not nan");
  EXPECT_EQ(ErrorOf([](Params& p) { p.temperature = INFINITY; }), "--temp must be a finite number, 0 or more, not inf");
  EXPECT_EQ(ErrorOf([](Params& p) { p.min_p = 2; }), "--min-p must be from 0 to 1, not 2");
  EXPECT_EQ(ErrorOf([](Params& p) { p.repeat_penalty = 0; }),
            "--repeat-penalty must be a finite number above 0, not 0");
  EXPECT_EQ(ErrorOf([](Params& p) { p.repeat_last_n = -2; }), "--repeat-last-n must be an integer, -1 or more, not -2");
  EXPECT_EQ(ErrorOf([](Params& p) { p.presence_penalty = NAN; }),
            "--presence-penalty must be a finite number, not nan");
  EXPECT_EQ(ErrorOf([](Params& p) { p.frequency_penalty = -INFINITY; }),
            "--frequency-penalty must be a finite number, not -inf");
}

TEST(Params, ValidateAcceptsTheEnds) {
  EXPECT_EQ(ErrorOf([](Params& p) { p.temperature = 0, p.top_k = -7, p.top_p = 0, p.min_p = 0; }), "");
  EXPECT_EQ(ErrorOf([](Params& p) { p.temperature = std::numeric_limits<float>::max(), p.top_p = 1, p.min_p = 1; }),
            "");
  EXPECT_EQ(ErrorOf([](Params& p) { p.repeat_last_n = -1, p.presence_penalty = -2, p.frequency_penalty = 2; }), "");
}

TEST(Params, FromMetadata) {
  Metadata m("a.gguf");
  ASSERT_TRUE(m.Add("general.sampling.temp", Int(1)).ok());  // an integer where a float is usual
  ASSERT_TRUE(m.Add("general.sampling.top_k", Float(20)).ok());
  ASSERT_TRUE(m.Add("general.sampling.top_p", Float(0.5)).ok());
  ASSERT_TRUE(m.Add("general.sampling.penalty_repeat", Float(1.25)).ok());
  ASSERT_TRUE(m.Add("general.sampling.penalty_last_n", Int(-1)).ok());
  const Result<Params> p = ParamsFromMetadata(m);
  ASSERT_TRUE(p.ok()) << p.error().message();
  EXPECT_EQ(p->temperature, 1.0f);
  EXPECT_EQ(p->top_k, 20);
  EXPECT_EQ(p->top_p, 0.5f);
  EXPECT_EQ(p->min_p, Params{}.min_p);
  EXPECT_EQ(p->repeat_penalty, 1.25f);
  EXPECT_EQ(p->repeat_last_n, -1);
}

TEST(Params, FromMetadataErrorsNameTheKey) {
  const auto error = [](const char* key, Value value) {
    Metadata m("a.gguf");
    EXPECT_TRUE(m.Add(key, std::move(value)).ok());
    const Result<Params> p = ParamsFromMetadata(m);
    if (p.ok()) return std::string();
    EXPECT_EQ(p.error().code(), ErrorCode::kCorrupt);
    return p.error().message();
  };
  EXPECT_EQ(error("general.sampling.top_p", Float(1.5)), "a.gguf: general.sampling.top_p must be from 0 to 1, not 1.5");
  EXPECT_EQ(error("general.sampling.top_k", Float(2.5)),
            "a.gguf: general.sampling.top_k must be a 32-bit integer, not 2.5");
  EXPECT_NE(error("general.sampling.top_k", Int(int64_t{1} << 40)), "");
  const std::string kind = error("general.sampling.temp", {ValueKind::kString, ValueKind::kU32, std::string("hot")});
  EXPECT_NE(kind.find("general.sampling.temp"), std::string::npos) << kind;
}

}  // namespace
}  // namespace bonsai::sampling
