#include <algorithm>
#include <utility>

#include "calib/stats_file.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

std::vector<uint64_t> Words(std::span<const Int128> values) {
  std::vector<uint64_t> words;
  words.reserve(values.size() * 2);
  for (const Int128 value : values) {
    words.push_back(HighWord(value));
    words.push_back(LowWord(value));
  }
  return words;
}

uint64_t VersionOf(const StatsHeader& header) {
  return header.outputs == LayerOutputs::kObserved ? kStatsVersionWithOutputs : kStatsVersion;
}

// Which values occurred, and how many of them are not finite.
void WriteHistogram(const std::string& group, const PatternHistogram& histogram,
                    Hdf5OutputFile* file) {
  file->Write<uint64_t>(group + "/counts", histogram.counts(), {PatternHistogram::kPatterns});
  const NonFiniteCounts nonfinite = histogram.NonFinite();
  file->Write(group + "/nonfinite", std::vector<uint64_t>{nonfinite.nan, nonfinite.inf});
}

void WriteImages(const std::vector<ImageEntry>& images, Hdf5OutputFile* file) {
  std::vector<std::string> sha256s;
  std::vector<std::string> names;
  for (const ImageEntry& image : images) {
    sha256s.push_back(image.sha256);
    names.push_back(image.name);
  }
  file->WriteStrings("/images/sha256", sha256s);
  file->WriteStrings("/images/name", names);
}

}  // namespace

std::string ImageSetSha256(std::vector<ImageEntry> images) {
  std::sort(images.begin(), images.end());
  std::string listing;
  for (const ImageEntry& image : images) listing += image.sha256 + "  " + image.name + "\n";
  return Sha256Hex(listing);
}

void CheckImagesDiffer(std::vector<ImageEntry> images, const std::string& where) {
  std::sort(images.begin(), images.end());
  const auto twice = std::adjacent_find(images.begin(), images.end());
  if (twice == images.end()) return;
  Fail("{}: image {} (sha256 {}) is listed twice; its statistics would count twice. List it once.",
       where, twice->name, twice->sha256);
}

StatsWriter::StatsWriter(const std::filesystem::path& path, StatsHeader header)
    : file_(path), header_(std::move(header)) {
  std::sort(header_.images.begin(), header_.images.end());
  CheckImagesDiffer(header_.images, path.string());
  WriteImages(header_.images, &file_);
  file_.Attribute("/", "version", VersionOf(header_));
  file_.Attribute("/", "model_sha256", header_.model_sha256);
  file_.Attribute("/", "preprocessing_sha256", header_.preprocessing_sha256);
  file_.Attribute("/", "residual", header_.residual);
  file_.Attribute("/", "image_set_sha256", ImageSetSha256(header_.images));
  file_.Attribute("/", "images", static_cast<uint64_t>(header_.images.size()));
  file_.Attribute("/", "seed", header_.seed);
  file_.Attribute("/", "row_sample_size", static_cast<uint64_t>(header_.row_sample_size));
  file_.Group("/sites");
  if (header_.outputs == LayerOutputs::kObserved) file_.Group("/outputs");
}

void StatsWriter::Site(const std::string& site, const SiteStatistics& statistics) {
  W8A8_CHECK(site > last_site_ && site.find('/') == std::string::npos);
  W8A8_CHECK(statistics.rows.capacity() == header_.row_sample_size);
  W8A8_CHECK(statistics.outputs.has_value() == (header_.outputs == LayerOutputs::kObserved));
  const int64_t channels = statistics.channels();
  const std::string group = "/sites/" + site;
  const std::vector<uint64_t> counts = statistics.histogram.counts();
  file_.Write<uint64_t>(group + "/counts", counts, {PatternHistogram::kPatterns});
  file_.Write(group + "/channel_absmax", statistics.channel_absmax);
  file_.Write(group + "/channel_sum", Words(statistics.channel_sum), {channels, 2});
  file_.Write(group + "/channel_sum_sq", Words(statistics.channel_sum_sq), {channels, 2});
  file_.Write(group + "/position_absmax", statistics.position_absmax);
  file_.Write(group + "/position_absmax_sum", statistics.position_absmax_sum);
  file_.Write(group + "/position_count", statistics.position_count);
  const NonFiniteCounts nonfinite = statistics.histogram.NonFinite();
  file_.Write(group + "/nonfinite", std::vector<uint64_t>{nonfinite.nan, nonfinite.inf});
  const RowSample::Sorted sample = statistics.rows.InOrder();
  file_.Write(group + "/rows", sample.rows, {statistics.rows.size(), channels});
  file_.Write(group + "/row_key", sample.keys);
  file_.Attribute(group, "rows", statistics.Rows());
  if (statistics.outputs) WriteHistogram("/outputs/" + site, *statistics.outputs, &file_);
  most_rows_ = std::max(most_rows_, statistics.Rows());
  last_site_ = site;
}

void StatsWriter::Commit() {
  file_.Attribute("/", "rows", most_rows_);
  file_.Commit();
}

void WriteStats(const std::filesystem::path& path, const CalibrationStats& stats) {
  StatsHeader header = stats.header;
  const bool outputs = std::any_of(stats.sites.begin(), stats.sites.end(), [](const auto& site) {
    return site.second.outputs.has_value();
  });
  header.outputs = outputs ? LayerOutputs::kObserved : LayerOutputs::kIgnored;
  StatsWriter writer(path, std::move(header));
  for (const auto& [site, statistics] : stats.sites) writer.Site(site, statistics);
  writer.Commit();
}

}  // namespace w8a8
