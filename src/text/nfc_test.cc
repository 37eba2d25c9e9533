#include "text/nfc.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <string>

#include "base/rng.h"

namespace bonsai::text {
namespace {

std::string Char(int32_t c) {
  utf8proc_uint8_t bytes[4];
  return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(utf8proc_encode_char(c, bytes))};
}

/// What utf8proc says about a whole string that has no NUL.
std::string Oracle(const std::string& s) {
  utf8proc_uint8_t* const out = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(s.c_str()));
  const std::string result = reinterpret_cast<const char*>(out);
  std::free(out);
  return result;
}

std::string Nfc(const std::string& s) {
  std::string storage;
  return std::string(NormalizeNfc(s, storage));
}

TEST(Nfc, WellFormedPrefix) {
  EXPECT_EQ(WellFormedPrefix(""), 0u);
  EXPECT_EQ(WellFormedPrefix("abcdefghijk"), 11u);
  EXPECT_EQ(WellFormedPrefix("abcdefgh\xff"), 8u);
  EXPECT_EQ(WellFormedPrefix("\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80z"), 10u);
  EXPECT_EQ(WellFormedPrefix("z\xe4\xbd"), 1u);
  EXPECT_EQ(WellFormedPrefix("\xed\xa0\x80"), 0u);  // a surrogate
}

TEST(Nfc, KnownStrings) {
  EXPECT_EQ(Nfc("Cafe\xcc\x81"), "Caf\xc3\xa9");
  EXPECT_EQ(Nfc("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"), "\xea\xb0\x81");        // Hangul L V T
  EXPECT_EQ(Nfc("\xea\xb0\x80\xe1\x86\xa8"), "\xea\xb0\x81");                    // Hangul LV T
  EXPECT_EQ(Nfc("\xe2\x84\xab\xe2\x84\xa6"), "\xc3\x85\xce\xa9");                // singletons
  EXPECT_EQ(Nfc("a\xcc\x81\xcc\xa3"), "\xe1\xba\xa1\xcc\x81");                   // marks reordered
  EXPECT_EQ(Nfc("\xe3\x81\x8b\xe3\x82\x99"), "\xe3\x81\x8c");                    // か + voiced mark
  EXPECT_EQ(Nfc(std::string("e\0\xcc\x81", 4)), std::string("e\0\xcc\x81", 4));  // NUL is a character
  EXPECT_EQ(Nfc("xxxxxxxxxe\xcc\x81yyyyyyyyyyo\xcc\x88z"), "xxxxxxxxx\xc3\xa9yyyyyyyyyy\xc3\xb6z");
}

TEST(Nfc, TextInNfcIsNotCopied) {
  const std::string s = "plain, \xc3\xa9t\xc3\xa9, \xd0\xb4\xd0\xb0, \xe4\xbd\xa0\xe5\xa5\xbd, \xf0\x9f\xa6\x99";
  std::string storage;
  EXPECT_EQ(NormalizeNfc(s, storage).data(), s.data());
}

// Every character alone, after each of several bases, and before a mark: the table of inert characters is right only if
// the quick way agrees with utf8proc about all of them.
TEST(Nfc, EveryCharacterAgreesWithUtf8proc) {
  for (int32_t c = 1; c <= 0x10ffff; c++) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string s = Char(c) + "a" + Char(c) + Char(0x1100) + Char(c) + Char(0x3b1) + Char(c) + Char(0xac00) + Char(c);
    s += Char(0x301) + Char(c) + Char(0x323);
    const std::string expected = Oracle(s);
    if (Nfc(s) != expected) FAIL() << std::hex << "U+" << c;
  }
}

TEST(Nfc, RandomStringsAgreeWithUtf8procAndAreStable) {
  Rng rng(1);
  const int32_t interesting[] = {'a',    'e',   ' ',   0x301,  0x323,  0x308,   0x327,   0x1100,  0x1161,  0x11a8,
                                 0xac00, 0x3ac, 0x345, 0x212b, 0x958,  0x93c,   0xfb2c,  0x5bc,   0x1e9b,  0x9c7,
                                 0x9be,  0xdd9, 0xdcf, 0xdca,  0x4e00, 0x1f600, 0x1d15e, 0x110ba, 0x11099, 0x3099};
  for (int round = 0; round < 20000; round++) {
    std::string s;
    for (uint64_t n = rng.Next() % 12; n > 0; n--) s += Char(interesting[rng.Next() % std::size(interesting)]);
    const std::string nfc = Nfc(s);
    ASSERT_EQ(nfc, Oracle(s));
    ASSERT_EQ(Nfc(nfc), nfc);
  }
}

TEST(Nfc, BytesThatAreNotUtf8DelimitRuns) {
  EXPECT_EQ(NormalizeNfcBytes("e\xff\xcc\x81"), "e\xff\xcc\x81");
  EXPECT_EQ(NormalizeNfcBytes("e\xcc\x81\xff"
                              "e\xcc\x81\xe4\xbd"),
            "\xc3\xa9\xff\xc3\xa9\xe4\xbd");
}

// utf8proc's own bubble sort needs 6e10 swaps for this: minutes.
TEST(Nfc, AMegabyteOfAlternatingMarksIsSorted) {
  std::string s = "e", sorted = "\xe1\xba\xb9";  // one U+0323 joins the e
  const int n = 250000;
  for (int i = 0; i < n; i++) s += "\xcc\x81\xcc\xa3";
  for (int i = 0; i < n - 1; i++) sorted += "\xcc\xa3";
  for (int i = 0; i < n; i++) sorted += "\xcc\x81";
  EXPECT_EQ(Nfc(s), sorted);
}

}  // namespace
}  // namespace bonsai::text
