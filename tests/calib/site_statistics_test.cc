#include "calib/site_statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "tests/calib/made_activations.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::FirstImages;
using test::kMadeTokens;
using test::MadeImage;
using test::MadeRows;
using test::MadeSite;
using test::MadeSites;
using test::ObserveImages;
using test::View;

constexpr int kImages = 13;

// An FP16 value in units of 2^-24, without floating point: mantissa shifted by the exponent.
Int128 Units(Half value) {
  const int64_t magnitude = value.bits & 0x7fff;
  const int64_t exponent = magnitude >> 10;
  const int64_t units = exponent == 0 ? magnitude : ((magnitude & 1023) + 1024) << (exponent - 1);
  return (value.bits & 0x8000) != 0 ? -units : units;
}

// Keys repeat, so that rows of equal keys decide too.
TEST(RowSample, IsTheSameOfTheRowsThatMayBeKept) {
  constexpr int64_t kChannels = 3, kCapacity = 5, kRows = 7;
  RowSample all(kChannels, kCapacity), some(kChannels, kCapacity);
  size_t offered = 0;
  for (uint64_t batch = 0; batch < 4; ++batch) {
    std::vector<uint64_t> keys;
    std::vector<Half> rows;
    for (uint64_t i = 0; i < kRows; ++i) {
      keys.push_back(CounterHash(batch, i) % 20);
      for (uint64_t c = 0; c < kChannels; ++c) {
        rows.push_back(Half{static_cast<uint16_t>(CounterHash(100 + batch, i * kChannels + c))});
      }
      all.Offer(keys.back(), std::span<const Half>(rows).last(kChannels));
    }
    for (const int32_t row : some.MayBeKept(keys)) {
      const auto r = static_cast<size_t>(row);
      some.Offer(keys[r], std::span<const Half>(rows).subspan(r * kChannels, kChannels));
      ++offered;
    }
  }
  EXPECT_LT(offered, size_t{4} * kRows);
  EXPECT_EQ(all.InOrder().keys, some.InOrder().keys);
  EXPECT_EQ(test::Equal(all.InOrder().rows, some.InOrder().rows), "");
}

TEST(SiteStatistics, SumsAreThoseOfWholeNumbers) {
  const CalibrationStats stats = ObserveImages(FirstImages(kImages));
  for (const MadeSite& site : MadeSites()) {
    const SiteStatistics& statistics = stats.sites.at(site.site);
    std::vector<Int128> sum(static_cast<size_t>(site.channels), 0);
    std::vector<Int128> sum_sq(sum);
    std::vector<float> absmax(sum.size(), 0.0f);
    for (int image = 0; image < kImages; ++image) {
      const std::vector<Half> rows = MadeRows(image, site);
      for (size_t i = 0; i < rows.size(); ++i) {
        if (!IsFinite(rows[i])) continue;
        const size_t c = i % sum.size();
        sum[c] += Units(rows[i]);
        sum_sq[c] += Units(rows[i]) * Units(rows[i]);
        absmax[c] = std::max(absmax[c], std::fabs(ToFloat(rows[i])));
      }
    }
    EXPECT_EQ(test::Equal(absmax, statistics.channel_absmax), "");
    for (size_t c = 0; c < sum.size(); ++c) {
      EXPECT_TRUE(statistics.channel_sum[c] == sum[c]) << site.site << ", channel " << c;
      // Each of the 11 additions of an image rounds to binary64; the images are added exactly.
      const double exact = static_cast<double>(sum_sq[c]);
      EXPECT_NEAR(static_cast<double>(statistics.channel_sum_sq[c]), exact,
                  test::RoundingBound(11, exact));
    }
  }
}

TEST(SiteStatistics, SquaresAreAddedInRowOrderInBinary64) {
  const MadeSite site = MadeSites()[0];
  const CalibrationStats stats = ObserveImages(FirstImages(kImages));
  std::vector<Int128> expected(static_cast<size_t>(site.channels), 0);
  for (int image = 0; image < kImages; ++image) {
    const std::vector<Half> rows = MadeRows(image, site);
    for (size_t c = 0; c < expected.size(); ++c) {
      double sum = 0.0;
      for (size_t r = 0; r < static_cast<size_t>(kMadeTokens); ++r) {
        const Half value = rows[r * expected.size() + c];
        const double x = IsFinite(value) ? ToFloat(value) : 0.0;
        sum += x * x;
      }
      expected[c] += static_cast<Int128>(std::ldexp(sum, 48));
    }
  }
  const std::vector<Int128>& actual = stats.sites.at(site.site).channel_sum_sq;
  for (size_t c = 0; c < expected.size(); ++c) EXPECT_TRUE(actual[c] == expected[c]) << c;
}

TEST(SiteStatistics, SumsOfTheLargestAndSmallestValuesStayExact) {
  const std::vector<Half> largest(4096, Half{0x7bff});
  std::vector<Half> smallest(4096, Half{0x8001});
  SiteStatistics statistics(1, 4096);
  const RowKeys keys(1, MadeImage(0).sha256);
  for (int i = 0; i < 3; ++i) statistics.Observe(keys, View(largest, 1));
  statistics.Observe(keys, View(smallest, 1));
  const Int128 most = Units(Half{0x7bff});
  EXPECT_TRUE(statistics.channel_sum[0] == 3 * 4096 * most - 4096);
  EXPECT_TRUE(statistics.channel_sum_sq[0] == 3 * 4096 * most * most + 4096);
}

TEST(SiteStatistics, PositionsKeepTheLargestAndTheSumOfTheRowMaxima) {
  const CalibrationStats stats = ObserveImages(FirstImages(kImages));
  const MadeSite site = MadeSites()[1];
  const SiteStatistics& statistics = stats.sites.at(site.site);
  for (int64_t token = 0; token < kMadeTokens; ++token) {
    float largest = 0.0f;
    Int128 sum = 0;
    for (int image = 0; image < kImages; ++image) {
      const std::vector<Half> rows = MadeRows(image, site);
      Half row_max;
      for (const Half value : View(rows, site.channels).row_span(token)) {
        const Half magnitude{static_cast<uint16_t>(value.bits & 0x7fff)};
        if (IsFinite(value)) row_max.bits = std::max(row_max.bits, magnitude.bits);
      }
      largest = std::max(largest, ToFloat(row_max));
      sum += Units(row_max);
    }
    const auto t = static_cast<size_t>(token);
    EXPECT_EQ(statistics.position_absmax[t], largest);
    EXPECT_EQ(statistics.position_absmax_sum[t], static_cast<uint64_t>(sum));
    EXPECT_EQ(statistics.position_count[t], static_cast<uint64_t>(kImages));
  }
}

TEST(SiteStatistics, TheSampleIsTheRowsOfSmallestKey) {
  const CalibrationStats stats = ObserveImages(FirstImages(kImages), /*row_sample_size=*/20);
  const MadeSite site = MadeSites()[0];
  std::map<uint64_t, std::vector<Half>> by_key;
  for (int image = 0; image < kImages; ++image) {
    const std::vector<Half> rows = MadeRows(image, site);
    const RowKeys keys(stats.header.seed, MadeImage(image).sha256);
    for (int64_t token = 0; token < kMadeTokens; ++token) {
      const auto row = View(rows, site.channels).row_span(token);
      by_key[keys(token)] = {row.begin(), row.end()};
    }
  }
  const RowSample::Sorted sample = stats.sites.at(site.site).rows.InOrder();
  ASSERT_EQ(sample.keys.size(), 20u);
  auto expected = by_key.begin();
  for (size_t i = 0; i < sample.keys.size(); ++i, ++expected) {
    EXPECT_EQ(sample.keys[i], expected->first);
    const auto width = static_cast<size_t>(site.channels);
    EXPECT_EQ(test::Equal(expected->second, std::span(sample.rows).subspan(i * width, width)), "");
  }
}

TEST(SiteStatistics, RowsMayNameTheirTokens) {
  const MadeSite site = MadeSites()[0];
  const std::vector<Half> rows = MadeRows(1, site);
  const RowKeys keys(3, MadeImage(1).sha256);
  SiteStatistics whole(site.channels, kMadeTokens);
  whole.Observe(keys, View(rows, site.channels));
  SiteStatistics part(site.channels, kMadeTokens);
  const std::vector<int32_t> tokens = {4, 9};
  const std::vector<Half> two = [&] {
    std::vector<Half> picked;
    for (const int32_t token : tokens) {
      const auto row = View(rows, site.channels).row_span(token);
      picked.insert(picked.end(), row.begin(), row.end());
    }
    return picked;
  }();
  part.Observe(keys, View(two, site.channels), tokens);
  EXPECT_EQ(part.Rows(), 2u);
  for (const size_t t : {4u, 9u}) EXPECT_EQ(part.position_absmax[t], whole.position_absmax[t]);
  EXPECT_EQ(part.position_count[0], 0u);
  const std::vector<uint64_t> sampled = part.rows.InOrder().keys;
  EXPECT_EQ(sampled,
            (std::vector<uint64_t>{std::min(keys(4), keys(9)), std::max(keys(4), keys(9))}));
}

TEST(SiteStatistics, OtherSizesAreNotMerged) {
  SiteStatistics statistics(8, 4);
  EXPECT_THROW(statistics.Merge(SiteStatistics(9, 4)), Error);
  EXPECT_THROW(statistics.Merge(SiteStatistics(8, 5)), Error);
  EXPECT_THROW(statistics.Merge(SiteStatistics(8, 4, 10)), Error);
}

}  // namespace
}  // namespace w8a8
