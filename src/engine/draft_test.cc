#include "engine/draft.h"

#include <gtest/gtest.h>

#include <vector>

namespace bonsai::engine {
namespace {

using Ids = std::vector<int32_t>;
Ids Find(const Ids& tokens, size_t most) {
  const auto draft = FindDraft(tokens, most);
  return {draft.begin(), draft.end()};
}

TEST(DraftTest, WhatFollowedTheSameTokens) {
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 1, 2}, 8), (Ids{3, 4, 5, 1, 2}));
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 1, 2}, 2), (Ids{3, 4}));
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 1, 2}, 0), Ids());
}

TEST(DraftTest, TheLongestAgreementWinsThenTheLatest) {
  EXPECT_EQ(Find({7, 1, 2, 10, 8, 1, 2, 11, 7, 1, 2}, 1), (Ids{10}));
  EXPECT_EQ(Find({1, 2, 10, 5, 1, 2, 11, 6, 1, 2}, 1), (Ids{11}));
  // Five tokens agree with the first place, but no more than kMaxGram count: the later one wins.
  EXPECT_EQ(Find({9, 1, 2, 3, 4, 10, 8, 1, 2, 3, 4, 11, 9, 1, 2, 3, 4}, 1), (Ids{11}));
}

TEST(DraftTest, NothingWithoutAnEarlierOccurrence) {
  EXPECT_EQ(Find({}, 8), Ids());
  EXPECT_EQ(Find({1}, 8), Ids());
  EXPECT_EQ(Find({1, 1}, 8), Ids());
  EXPECT_EQ(Find({1, 1, 1}, 8), (Ids{1}));
  EXPECT_EQ(Find({1, 2, 3, 2}, 8), Ids());  // one token is too little
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 6}, 8), Ids());
}

TEST(DraftLengthTest, GrowsWithSuccessAndPausesLongerAndLonger) {
  DraftLength d(8);
  EXPECT_EQ(d.Next(), 4u);
  d.Learn(4, 4);
  EXPECT_EQ(d.Next(), 8u);
  d.Learn(8, 8);
  EXPECT_EQ(d.Next(), 8u);
  d.Learn(8, 3);
  EXPECT_EQ(d.Next(), 3u);
  d.Learn(0, 0);  // no guess was found: nothing learnt
  EXPECT_EQ(d.Next(), 3u);
  for (const size_t pause : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 64u}) {
    d.Learn(1, 0);
    for (size_t i = 0; i < pause; i++) EXPECT_EQ(d.Next(), 0u) << pause;
    EXPECT_EQ(d.Next(), 1u);
  }
  d.Learn(1, 1);
  EXPECT_EQ(d.Next(), 2u);
  d.Learn(2, 0);
  EXPECT_EQ(d.Next(), 0u);
  EXPECT_EQ(d.Next(), 1u);
}

}  // namespace
}  // namespace bonsai::engine
