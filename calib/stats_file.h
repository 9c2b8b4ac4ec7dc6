// stats.h5: the statistics of a calibration run. Equal statistics give equal bytes.
//
// /sites/<site>/: counts u64 [65536] by FP16 pattern; channel_absmax f32 [K]; channel_sum,
// channel_sum_sq u64 [K, 2] (high, low word of the 128-bit fixed point of site_statistics.h);
// position_absmax f32 [S]; position_absmax_sum, position_count u64 [S]; nonfinite u64 [2] (NaN,
// Inf); rows f16 [n, K], row_key u64 [n], ascending by key; attribute rows (observed in all).
// /outputs/<site>/, in version 2 only: counts and nonfinite, as above, of the layer's FP16 output
// in the reference; for every site. Statistics without outputs are version 1. /images/: sha256,
// name, ascending by both. Attributes of the file: version, model_sha256, preprocessing_sha256,
// image_set_sha256, images, rows (the most of any site), seed, row_sample_size, residual ("fp16" or
// "fp32": how the reference stored its residual stream; absent in older files, which is fp16).
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "calib/site_statistics.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {

// Of the layout above, without and with outputs; another one is refused.
constexpr uint64_t kStatsVersion = 1;
constexpr uint64_t kStatsVersionWithOutputs = 2;

struct ImageEntry {
  std::string sha256;  // of the file's bytes, 64 lower-case hex digits
  std::string name;    // relative path; no zero byte
  friend auto operator<=>(const ImageEntry&, const ImageEntry&) = default;
};

// SHA-256 of the sorted lines "sha256  name\n", the listing of the sha256sum program.
std::string ImageSetSha256(std::vector<ImageEntry> images);

// Throws Error naming `where` and the image if an (sha256, name) occurs twice: it would count
// twice. StatsWriter checks it too; call this before the work is done.
void CheckImagesDiffer(std::vector<ImageEntry> images, const std::string& where);

struct StatsHeader {
  std::string model_sha256;
  std::string preprocessing_sha256;
  std::string residual = "fp16";  // the reference's residual stream: fp16 or fp32
  uint64_t seed = 0;              // of the row samples
  int64_t row_sample_size = kRowSampleSize;
  LayerOutputs outputs = LayerOutputs::kIgnored;  // whether every site has its outputs
  std::vector<ImageEntry> images;  // in any order; an (sha256, name) may occur once only
};

struct CalibrationStats {
  StatsHeader header;
  std::map<std::string, SiteStatistics> sites;

  // Forgets the sampled rows, four fifths of the memory of a wide model: only plans are made of
  // them.
  void DropRows() {
    for (auto& [site, statistics] : sites) statistics.rows = RowSample(statistics.channels(), 0);
  }
};

// Adds sites of equal name; the sites present must be the same unless `into` has none yet.
void MergeSites(const std::map<std::string, SiteStatistics>& from,
                std::map<std::string, SiteStatistics>* into);

// With outputs where the sites have them, whatever the header says: all of them or none.
void WriteStats(const std::filesystem::path& path, const CalibrationStats& stats);
CalibrationStats ReadStats(const std::filesystem::path& path);

// The bytes that one run over all the images gives, one site in memory at a time. Refused: files of
// different models, preprocessing, seeds, sample sizes or sites, with and without outputs, and an
// image (sha256 and name) that stands in two of them, because it would count twice. The same file
// contents under two names are two images, as in one run. Returns the header of `out`.
StatsHeader MergeStats(std::span<const std::filesystem::path> inputs,
                       const std::filesystem::path& out);

// One site at a time, for files larger than memory should hold.
class StatsReader {
 public:
  // Reads and checks the header; throws Error on anything that is not a stats file of ours.
  explicit StatsReader(const std::filesystem::path& path);

  const StatsHeader& header() const { return header_; }
  const std::vector<std::string>& sites() const { return sites_; }  // bytewise order
  // Throws Error if a dataset is missing, has another shape, or contradicts the others.
  SiteStatistics Site(const std::string& site) const;

 private:
  Hdf5InputFile file_;
  StatsHeader header_;
  std::vector<std::string> sites_;
};

class StatsWriter {
 public:
  StatsWriter(const std::filesystem::path& path, StatsHeader header);
  // In bytewise order of the names, each once.
  void Site(const std::string& site, const SiteStatistics& statistics);
  // Nothing appears under the target name before this.
  void Commit();

 private:
  Hdf5OutputFile file_;
  StatsHeader header_;
  std::string last_site_;
  uint64_t most_rows_ = 0;
};

}  // namespace w8a8
