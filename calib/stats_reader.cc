#include <algorithm>
#include <cmath>

#include "calib/stats_file.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr int64_t kMostSampledRows = int64_t{1} << 20;
constexpr const char* kWayOut = "The file is damaged or was changed; calibrate again.";

constexpr uint64_t kMostImages = uint64_t{1} << 24;
constexpr int64_t kMostChannelsOrTokens = int64_t{1} << 20;

bool IsSha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::vector<ImageEntry> ReadImages(const Hdf5InputFile& file) {
  const std::string path = file.path().string();
  const uint64_t images_told = file.UnsignedAttribute("/", "images");
  if (images_told > kMostImages) {
    Fail("{}: claims {} images, more than the {} that are supported. {}", path, images_told,
         kMostImages, kWayOut);
  }
  const auto count = static_cast<int64_t>(images_told);
  const std::vector<std::string> sha256s = file.ReadStrings("/images/sha256", count);
  const std::vector<std::string> names = file.ReadStrings("/images/name", count);
  std::vector<ImageEntry> images;
  for (size_t i = 0; i < sha256s.size(); ++i) {
    if (!IsSha256(sha256s[i])) {
      Fail("{}: /images/sha256 of image {} is '{}', not 64 hex digits. {}", path, i, sha256s[i],
           kWayOut);
    }
    images.push_back({sha256s[i], names[i]});
    if (i > 0 && images[i - 1] >= images[i]) {
      Fail("{}: /images is not in ascending order at entry {}. {}", path, i, kWayOut);
    }
  }
  if (ImageSetSha256(images) != file.TextAttribute("/", "image_set_sha256")) {
    Fail("{}: /images does not give the file's image_set_sha256. {}", path, kWayOut);
  }
  return images;
}

StatsHeader ReadHeader(const Hdf5InputFile& file) {
  const std::string path = file.path().string();
  if (!file.HasAttribute("/", "version") || !file.Has("/sites") || !file.Has("/images")) {
    Fail("{}: is an HDF5 file, but not one that 'calibrate' wrote (no version, /sites or /images).",
         path);
  }
  const uint64_t version = file.UnsignedAttribute("/", "version");
  if (version != kStatsVersion && version != kStatsVersionWithOutputs) {
    Fail("{}: is a stats file of version {}; this build reads versions {} and {}. Calibrate again.",
         path, version, kStatsVersion, kStatsVersionWithOutputs);
  }
  StatsHeader header;
  const bool outputs = version == kStatsVersionWithOutputs;
  if (outputs) header.outputs = LayerOutputs::kObserved;
  if (outputs != file.Has("/outputs")) {
    Fail("{}: is of version {}, but {} /outputs. {}", path, version, outputs ? "has no" : "has",
         kWayOut);
  }
  header.model_sha256 = file.TextAttribute("/", "model_sha256");
  header.preprocessing_sha256 = file.TextAttribute("/", "preprocessing_sha256");
  if (file.HasAttribute("/", "residual")) header.residual = file.TextAttribute("/", "residual");
  header.seed = file.UnsignedAttribute("/", "seed");
  header.row_sample_size = file.SignedAttribute("/", "row_sample_size");
  if (header.row_sample_size < 0 || header.row_sample_size > kMostSampledRows) {
    Fail("{}: row_sample_size is {}, not in 0 to {}. {}", path, header.row_sample_size,
         kMostSampledRows, kWayOut);
  }
  header.images = ReadImages(file);
  return header;
}

std::vector<Int128> FromWordPairs(const std::vector<uint64_t>& words) {
  std::vector<Int128> values;
  values.reserve(words.size() / 2);
  for (size_t i = 0; i < words.size(); i += 2) {
    values.push_back(FromWords(words[i], words[i + 1]));
  }
  return values;
}

int64_t LengthOf(const Hdf5InputFile& file, const std::string& dataset) {
  const Hdf5Shape shape = file.ShapeOf(dataset);
  if (shape.size() != 1 || shape[0] < 1 || shape[0] > kMostChannelsOrTokens) {
    Fail("{}: '{}' has an impossible shape. {}", file.path().string(), dataset, kWayOut);
  }
  return shape[0];
}

RowSample ReadRows(const Hdf5InputFile& file, const std::string& group, int64_t channels,
                   int64_t capacity, uint64_t rows) {
  const auto sampled = static_cast<int64_t>(std::min(rows, static_cast<uint64_t>(capacity)));
  std::vector<uint64_t> keys = file.Read<uint64_t>(group + "/row_key", {sampled});
  std::vector<Half> values = file.Read<Half>(group + "/rows", {sampled, channels});
  return RowSample(channels, capacity, std::move(keys), std::move(values));
}

void CheckNonFinite(const Hdf5InputFile& file, const std::string& group, const std::string& site,
                    const PatternHistogram& histogram) {
  const NonFiniteCounts nonfinite = histogram.NonFinite();
  if (file.Read<uint64_t>(group + "/nonfinite", {2}) ==
      std::vector<uint64_t>{nonfinite.nan, nonfinite.inf}) {
    return;
  }
  Fail("{}: site '{}': nonfinite differs from counts in {}. {}", file.path().string(), site, group,
       kWayOut);
}

// Of a site with `rows` rows, which all have the same number of outputs.
PatternHistogram ReadOutputs(const Hdf5InputFile& file, const std::string& site, uint64_t rows) {
  const std::string group = "/outputs/" + site;
  PatternHistogram outputs(file.Read<uint64_t>(group + "/counts", {PatternHistogram::kPatterns}));
  CheckNonFinite(file, group, site, outputs);
  const uint64_t total = outputs.Total();
  const bool fits = rows == 0 ? total == 0 : total > 0 && total % rows == 0;
  if (fits) return outputs;
  Fail("{}: site '{}': {} counts in {} are not those of {} rows. {}", file.path().string(), site,
       total, group, rows, kWayOut);
}

// What is stored twice must agree; a contradiction would end up in somebody's plan.
void CheckAgreement(const Hdf5InputFile& file, const std::string& site, const SiteStatistics& s) {
  const auto refuse = [&](const std::string& what) {
    Fail("{}: site '{}': {}. {}", file.path().string(), site, what, kWayOut);
  };
  const std::string group = "/sites/" + site;
  if (s.Rows() != file.UnsignedAttribute(group, "rows")) {
    refuse("position_count does not add up to the number of rows");
  }
  if (s.histogram.Total() != s.Rows() * static_cast<uint64_t>(s.channels())) {
    refuse("counts do not add up to rows x channels");
  }
  CheckNonFinite(file, group, site, s.histogram);
  const auto is_magnitude = [](float value) { return value >= 0.0f && std::isfinite(value); };
  if (!std::ranges::all_of(s.channel_absmax, is_magnitude) ||
      !std::ranges::all_of(s.position_absmax, is_magnitude)) {
    refuse("channel_absmax or position_absmax holds what is no magnitude: NaN, Inf or below 0");
  }
  const float absmax = s.AbsMax();
  if (*std::max_element(s.channel_absmax.begin(), s.channel_absmax.end()) != absmax ||
      *std::max_element(s.position_absmax.begin(), s.position_absmax.end()) != absmax) {
    refuse("channel_absmax, position_absmax and counts have different maxima");
  }
}

}  // namespace

StatsReader::StatsReader(const std::filesystem::path& path)
    : file_(path), header_(ReadHeader(file_)), sites_(file_.Children("/sites")) {
  if (header_.outputs == LayerOutputs::kIgnored || file_.Children("/outputs") == sites_) return;
  Fail("{}: /outputs and /sites hold different sites. {}", path.string(), kWayOut);
}

SiteStatistics StatsReader::Site(const std::string& site) const {
  const std::string group = "/sites/" + site;
  const int64_t channels = LengthOf(file_, group + "/channel_absmax");
  const int64_t tokens = LengthOf(file_, group + "/position_count");
  SiteStatistics s(channels, tokens, header_.row_sample_size);
  s.histogram =
      PatternHistogram(file_.Read<uint64_t>(group + "/counts", {PatternHistogram::kPatterns}));
  s.channel_absmax = file_.Read<float>(group + "/channel_absmax", {channels});
  s.channel_sum = FromWordPairs(file_.Read<uint64_t>(group + "/channel_sum", {channels, 2}));
  s.channel_sum_sq = FromWordPairs(file_.Read<uint64_t>(group + "/channel_sum_sq", {channels, 2}));
  s.position_absmax = file_.Read<float>(group + "/position_absmax", {tokens});
  s.position_absmax_sum = file_.Read<uint64_t>(group + "/position_absmax_sum", {tokens});
  s.position_count = file_.Read<uint64_t>(group + "/position_count", {tokens});
  s.rows = ReadRows(file_, group, channels, header_.row_sample_size, s.Rows());
  CheckAgreement(file_, site, s);
  if (header_.outputs == LayerOutputs::kObserved) s.outputs = ReadOutputs(file_, site, s.Rows());
  return s;
}

CalibrationStats ReadStats(const std::filesystem::path& path) {
  const StatsReader reader(path);
  CalibrationStats stats;
  stats.header = reader.header();
  for (const std::string& site : reader.sites()) stats.sites.emplace(site, reader.Site(site));
  return stats;
}

}  // namespace w8a8
