#include "eval/job/site_cards.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "quant/quantizer.h"
#include "runtime/base/error.h"
#include "runtime/base/half.h"

namespace w8a8 {
namespace {

// Bins of 128 patterns: 8 for each power of two, the finite magnitudes in 248 of them.
constexpr uint32_t kPatternsPerBin = 128;
constexpr uint32_t kBins = 0x7c00 / kPatternsPerBin;
constexpr uint32_t kSign = 0x8000;
constexpr size_t kStripPoints = 192;
constexpr int kClipPoints = 41;
constexpr double kClipRatio = 0.885;  // 41 points reach down to 0.8 % of the largest magnitude
constexpr size_t kTopChannels = 5;

double EdgeOf(uint32_t bin) {
  const uint32_t pattern = bin * kPatternsPerBin;
  return pattern < 0x7c00 ? ToFloat(Half{static_cast<uint16_t>(pattern)}) : 65536.0;
}

void AddDistribution(const PatternHistogram& histogram, SiteCard& card) {
  const std::vector<uint64_t> counts = histogram.counts();
  for (uint32_t bin = 0; bin < kBins; ++bin) {
    card.bin_edge.push_back(EdgeOf(bin));
    uint64_t positive = 0, negative = 0;
    for (uint32_t p = bin * kPatternsPerBin; p < (bin + 1) * kPatternsPerBin; ++p) {
      if (p == 0) continue;
      positive += counts[p];
      negative += counts[p | kSign];
    }
    card.positive_count.push_back(positive);
    card.negative_count.push_back(negative);
  }
  card.bin_edge.push_back(EdgeOf(kBins));
  card.zero_count = counts[0] + counts[kSign];
  const NonFiniteCounts nonfinite = histogram.NonFinite();
  card.nan_count = nonfinite.nan;
  card.infinite_count = nonfinite.inf;
  card.absmax = histogram.AbsMax();
}

void AddClipCurve(const PatternHistogram& histogram, SiteCard& card) {
  const float absmax = histogram.AbsMax();
  if (absmax == 0) return;
  const std::vector<MagnitudeCount> magnitudes = histogram.Magnitudes();
  for (int i = kClipPoints - 1; i >= 0; --i) {
    const auto clip = static_cast<float>(static_cast<double>(absmax) * std::pow(kClipRatio, i));
    card.clip.push_back(clip);
    card.clip_mse.push_back(MeanSquaredError(magnitudes, clip));
  }
}

int64_t PerPoint(size_t values) {
  return static_cast<int64_t>((values + kStripPoints - 1) / kStripPoints);
}

// The largest of each `per_point` values.
std::vector<double> Grouped(const std::vector<float>& values, int64_t per_point) {
  std::vector<double> groups;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % static_cast<size_t>(per_point) == 0) groups.push_back(values[i]);
    groups.back() = std::max(groups.back(), static_cast<double>(values[i]));
  }
  return groups;
}

void AddChannels(const std::vector<float>& absmax, SiteCard& card) {
  card.channels = static_cast<int64_t>(absmax.size());
  card.channels_per_point = PerPoint(absmax.size());
  card.channel_absmax = Grouped(absmax, card.channels_per_point);
  std::vector<int64_t> order(absmax.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return absmax[static_cast<size_t>(a)] > absmax[static_cast<size_t>(b)];
  });
  if (!order.empty()) {
    card.channel_absmax_median = absmax[static_cast<size_t>(order[order.size() / 2])];
  }
  order.resize(std::min(order.size(), kTopChannels));
  card.top_channel = order;
  for (const int64_t c : order) card.top_channel_absmax.push_back(absmax[static_cast<size_t>(c)]);
}

void AddPositions(const SiteStatistics& statistics, SiteCard& card) {
  card.tokens = statistics.tokens();
  card.tokens_per_point = PerPoint(statistics.position_absmax.size());
  card.position_scale = Grouped(statistics.position_absmax, card.tokens_per_point);
  for (double& scale : card.position_scale) scale /= 127;
  const auto per_point = static_cast<size_t>(card.tokens_per_point);
  for (size_t first = 0; first < statistics.position_count.size(); first += per_point) {
    double sum = 0, rows = 0;
    for (size_t t = first; t < std::min(first + per_point, statistics.position_count.size()); ++t) {
      sum += static_cast<double>(statistics.position_absmax_sum[t]) * 0x1p-24;
      rows += static_cast<double>(statistics.position_count[t]);
    }
    card.position_scale_mean.push_back(rows > 0 ? sum / rows / 127 : 0);
  }
}

// Of counts from code -128 on those of the codes that the quantizer makes.
std::vector<uint64_t> CountsOf(const std::vector<uint64_t>& counts, const Plan& plan,
                               const std::string& site) {
  if (counts.empty()) return {};
  const auto planned = plan.sites.find(site);
  W8A8_CHECK(counts.size() == kInt8Values && planned != plan.sites.end() && planned->second.input);
  const int32_t unmade = planned->second.input->lowest_code() - kLowestInt8;
  W8A8_CHECK(unmade == 0 || counts.front() == 0);
  return {counts.begin() + unmade, counts.end()};
}

}  // namespace

std::vector<SiteCard> BuildCards(const std::vector<std::string>& sites,
                                 const SiteStatisticsMap& statistics,
                                 const std::map<std::string, SiteDetail>& details, const Plan& plan,
                                 SiteNames& names) {
  std::vector<SiteCard> cards;
  for (const std::string& site : sites) {
    SiteCard card;
    card.site = names.Add(site);
    if (const auto seen = statistics.find(site); seen != statistics.end()) {
      AddDistribution(seen->second.histogram, card);
      AddClipCurve(seen->second.histogram, card);
      AddChannels(seen->second.channel_absmax, card);
      AddPositions(seen->second, card);
    }
    if (const auto detail = details.find(site); detail != details.end()) {
      card.code_count = CountsOf(detail->second.code_count, plan, site);
      card.map = detail->second.map;
    }
    cards.push_back(std::move(card));
  }
  return cards;
}

}  // namespace w8a8
