#include "tests/calib/made_activations.h"

#include <numeric>

#include <fmt/format.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/sha256.h"

namespace w8a8::test {

const std::vector<MadeSite>& MadeSites() {
  static const std::vector<MadeSite> sites = {{"blocks.0.attn.qkv", 24}, {"blocks.1.mlp.fc2", 37}};
  return sites;
}

ImageEntry MadeImage(int i) {
  return {Sha256Hex(fmt::format("image {}", i)), fmt::format("{}.jpg", i)};
}

std::vector<Half> MadeRows(int image, const MadeSite& site) {
  const uint64_t seed = HashText(site.site) + static_cast<uint64_t>(image);
  std::vector<Half> rows(static_cast<size_t>(kMadeTokens * site.channels));
  for (size_t i = 0; i < rows.size(); ++i) {
    const float u = HashUniform(seed, i);
    const bool massive = i % static_cast<size_t>(site.channels) == 3;
    rows[i] = ToHalf(u * u * u * u * u * (massive ? 1536.0f : 48.0f));
  }
  if (image % 5 == 0) {
    rows[7].bits = 0x7e01;
    rows[rows.size() - 2].bits = 0xfc00;
  }
  return rows;
}

CalibrationStats ObserveImages(const std::vector<int>& images, int64_t row_sample_size) {
  CalibrationStats stats;
  stats.header = {.model_sha256 = Sha256Hex(std::string("model")),
                  .preprocessing_sha256 = Sha256Hex(std::string("preprocessing")),
                  .seed = 9,
                  .row_sample_size = row_sample_size,
                  .images = {}};
  for (const MadeSite& site : MadeSites()) {
    SiteStatistics statistics(site.channels, kMadeTokens, row_sample_size);
    for (const int image : images) {
      const std::vector<Half> rows = MadeRows(image, site);
      statistics.Observe(RowKeys(stats.header.seed, MadeImage(image).sha256),
                         View(rows, site.channels));
    }
    stats.sites.emplace(site.site, std::move(statistics));
  }
  for (const int image : images) stats.header.images.push_back(MadeImage(image));
  return stats;
}

CalibrationStats ObserveOutputsToo(const std::vector<int>& images, int64_t row_sample_size) {
  CalibrationStats stats = ObserveImages(images, row_sample_size);
  stats.header.outputs = LayerOutputs::kObserved;
  for (auto& [site, statistics] : stats.sites) {
    statistics.outputs.emplace();
    for (const int image : images) {
      const std::vector<Half> rows = MadeRows(image, {site + ".output", kMadeOutputs});
      statistics.ObserveOutputs(View(rows, kMadeOutputs));
    }
  }
  return stats;
}

std::vector<int> FirstImages(int count) {
  std::vector<int> images(static_cast<size_t>(count));
  std::iota(images.begin(), images.end(), 0);
  return images;
}

}  // namespace w8a8::test
