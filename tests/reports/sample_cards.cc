// The cards and worst images of the made report: as large as those of a SigLIP so400m (729 tokens,
// 1,152 and 4,304 channels), with noise in every picture, which is what compresses worst.
#include <cmath>

#include <fmt/format.h>

#include "runtime/base/counter_hash.h"
#include "tests/reports/sample_report.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 729;
constexpr int64_t kMapRows = 92, kMapColumns = 192;

// About normal, of variance 1: the sum of three uniform numbers from -1 to 1.
double Noise(uint64_t seed, uint64_t i) {
  double sum = 0;
  for (uint64_t k = 0; k < 3; ++k) sum += HashUniform(seed, 3 * i + k);
  return sum;
}

void AddDistribution(uint64_t seed, SiteCard& card) {
  for (uint32_t bin = 0; bin <= 248; ++bin) {
    card.bin_edge.push_back(bin == 0 ? 0 : std::exp2(static_cast<double>(bin) / 8 - 15));
    if (bin == 248) break;
    const double octave = static_cast<double>(bin) / 8 - 15;
    const double mass = octave > std::log2(card.absmax) ? 0 : 1e6 * std::exp2(-std::fabs(octave));
    card.positive_count.push_back(static_cast<uint64_t>(mass));
    card.negative_count.push_back(static_cast<uint64_t>(mass * std::fabs(HashUniform(seed, bin))));
  }
  card.zero_count = 12345;
  for (int i = 40; i >= 0; --i) {
    const double clip = card.absmax * std::pow(0.885, i);
    card.clip.push_back(clip);
    card.clip_mse.push_back(1e-5 * clip * clip + 0.1 * std::exp(-clip));
  }
}

void AddStrips(uint64_t seed, SiteCard& card) {
  card.channels_per_point = (card.channels + 191) / 192;
  for (int64_t i = 0; i * card.channels_per_point < card.channels; ++i) {
    card.channel_absmax.push_back(4 * std::exp(Noise(seed + 1, static_cast<uint64_t>(i)) / 3));
  }
  card.channel_absmax_median = 4;
  card.top_channel = {17, 711, 3, 99, 100};
  card.top_channel_absmax = {card.absmax, 31.5, 12.25, 11, 10.5};
  card.tokens = kTokens;
  card.tokens_per_point = 4;
  for (uint64_t i = 0; i < kTokens / 4; ++i) {
    card.position_scale.push_back(0.1 * std::exp(Noise(seed + 2, i) / 4));
    card.position_scale_mean.push_back(card.position_scale.back() / 2);
  }
  for (int code = -127; code <= 127; ++code) {
    card.code_count.push_back(static_cast<uint64_t>(1e6 * std::exp(-std::abs(code) / 9.0)));
  }
}

OutlierMap NoisyMap(uint64_t seed, int64_t channels) {
  OutlierMap map{.image = "café & friends/0001.jpg",
                 .tokens_per_row = 8,
                 .channels_per_column = (channels + kMapColumns - 1) / kMapColumns,
                 .rows = kMapRows,
                 .columns = kMapColumns,
                 .absmax = {}};
  for (uint64_t i = 0; i < kMapRows * kMapColumns; ++i) {
    const double loud = i % kMapColumns == seed % kMapColumns ? 20 : 1;
    map.absmax.push_back(ToHalf(static_cast<float>(loud * std::exp(Noise(seed + 3, i) / 3))));
  }
  return map;
}

}  // namespace

SiteCard SampleCard(const std::string& site) {
  const uint64_t seed = HashText(site);
  SiteCard card;
  card.absmax = 70 + 50 * HashUniform(seed, 0);
  card.channels = site.ends_with("fc2") ? 4304 : 1152;
  AddDistribution(seed, card);
  AddStrips(seed, card);
  card.map = NoisyMap(seed, card.channels);
  return card;
}

std::vector<WorstImage> SampleWorstImages() {
  std::vector<WorstImage> images;
  for (int i = 0; i < 8; ++i) {
    WorstImage image;
    image.file = i == 0 ? kHostileName : fmt::format("a folder/with a long name/{:04}.jpg", i);
    image.sqnr_db = 10 + i;
    image.cosine = 0.95 + 0.005 * i;
    image.reference_answer = "tabby cat";
    image.answer = i % 3 == 0 ? "tiger cat" : "tabby cat";
    image.accepted = i % 2 == 0 ? "tabby cat" : "";
    image.width = 96;
    image.height = 64 + i;
    for (uint64_t p = 0; p < static_cast<uint64_t>(image.width * image.height) * 3; ++p) {
      image.thumbnail.push_back(static_cast<uint8_t>(CounterHash(static_cast<uint64_t>(i), p)));
    }
    images.push_back(image);
  }
  images.back().thumbnail.clear();
  images.back().width = images.back().height = 0;
  return images;
}

}  // namespace w8a8::test
