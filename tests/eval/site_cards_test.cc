// What becomes of statistics on a card: nothing is lost, and the places of outliers are kept.
#include "eval/job/site_cards.h"

#include <numeric>

#include "gtest/gtest.h"

namespace w8a8 {
namespace {

// 400 channels, 3 tokens; one outlier in channel 399 of token 1.
std::vector<Half> MadeRows() {
  std::vector<Half> rows(3 * 400, ToHalf(-0.25f));
  rows[0] = ToHalf(0.0f);
  rows[1] = ToHalf(2.5f);
  rows[400 + 399] = ToHalf(-100.0f);
  return rows;
}

SiteCard MadeCard() {
  const std::vector<Half> rows = MadeRows();
  SiteStatistics statistics(400, 3);
  statistics.Observe(RowKeys(1, std::string(64, 'a')), {rows.data(), 3, 400, 400});
  SiteDetail detail;
  detail.map = MapOf({rows.data(), 3, 400, 400}, "a.png");
  SiteStatisticsMap map;
  map.emplace("site", statistics);
  SiteNames names;
  return BuildCards({"site"}, map, {{"site", detail}}, {}, names).front();
}

uint64_t Sum(const std::vector<uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

TEST(SiteCards, BinsHoldEveryValueOnceUnderItsSign) {
  const SiteCard card = MadeCard();
  EXPECT_EQ(card.zero_count, 1u);
  EXPECT_EQ(Sum(card.positive_count), 1u);
  EXPECT_EQ(Sum(card.negative_count), 1198u);
  ASSERT_EQ(card.bin_edge.size(), card.positive_count.size() + 1);
  for (size_t b = 0; b < card.positive_count.size(); ++b) {
    EXPECT_LT(card.bin_edge[b], card.bin_edge[b + 1]);
    if (card.positive_count[b] == 0) continue;
    EXPECT_LE(card.bin_edge[b], 2.5);
    EXPECT_GT(card.bin_edge[b + 1], 2.5);
  }
}

TEST(SiteCards, ClipCurveEndsAtTheLargestValueAndIsTheExactError) {
  const SiteCard card = MadeCard();
  EXPECT_EQ(card.absmax, 100);
  ASSERT_EQ(card.clip.size(), 41u);
  EXPECT_EQ(card.clip.back(), 100);
  PatternHistogram histogram;
  histogram.Add(MadeRows());
  for (size_t i = 0; i < card.clip.size(); ++i) {
    EXPECT_EQ(card.clip_mse[i], histogram.MeanSquaredError(static_cast<float>(card.clip[i])));
  }
}

TEST(SiteCards, OutliersKeepTheirPlaceInStripAndMap) {
  const SiteCard card = MadeCard();
  EXPECT_EQ(card.channels_per_point, 3);  // 400 channels in at most 192 points
  EXPECT_EQ(card.channel_absmax.size(), 134u);
  EXPECT_EQ(card.channel_absmax.back(), 100);
  EXPECT_EQ(card.top_channel.front(), 399);
  EXPECT_EQ(card.channel_absmax_median, 0.25);
  EXPECT_EQ(card.position_scale, (std::vector<double>{2.5 / 127, 100.0 / 127, 0.25 / 127}));
  EXPECT_EQ(card.position_scale_mean, card.position_scale);  // of a single image
  ASSERT_EQ(card.map.rows, 3);
  ASSERT_EQ(card.map.columns, 134);
  EXPECT_EQ(ToFloat(card.map.absmax[134 + 133]), 100.0f);
  EXPECT_EQ(ToFloat(card.map.absmax[133]), 0.25f);
}

TEST(SiteCards, ShowTheCodesThatTheSitesQuantizerMakes) {
  SiteDetail detail;
  detail.code_count.assign(256, 0);
  detail.code_count[1] = 4;  // code -127
  const auto lowest = [&](const std::optional<Quantizer>& input) {
    SiteNames names;
    const Plan plan{{{"site", SitePlan{.input = input}}}};
    return BuildCards({"site"}, {}, {{"site", detail}}, plan, names).front();
  };
  EXPECT_EQ(lowest(Quantizer()).lowest_code(), -127);
  EXPECT_EQ(lowest(Quantizer()).code_count.front(), 4u);
  EXPECT_EQ(lowest(Quantizer{.symmetric = false}).lowest_code(), -128);
  EXPECT_EQ(lowest(Quantizer{.symmetric = false}).code_count[1], 4u);
  detail.code_count.clear();  // weight-only: no codes of its input
  EXPECT_TRUE(lowest(std::nullopt).code_count.empty());
}

TEST(SiteCards, ASiteWithoutStatisticsHasAnEmptyCard) {
  SiteNames names;
  const SiteCard card = BuildCards({"site"}, {}, {}, {}, names).front();
  EXPECT_EQ(names[card.site], "site");
  EXPECT_TRUE(card.bin_edge.empty() && card.clip.empty() && card.map.absmax.empty());
}

}  // namespace
}  // namespace w8a8
