// What the page shows of one site beyond its errors, and of the images that suffer most. All of it
// is plotted, and stands in report.h5 (card_file.h); the exact statistics are in stats.h5.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reports/estimate.h"
#include "reports/words.h"
#include "runtime/base/half.h"

namespace w8a8 {

// |input| of a site for one image, as a picture: the largest magnitude of each cell of adjacent
// tokens and channels, so that no outlier is lost.
struct OutlierMap {
  std::string image;
  int64_t tokens_per_row = 1;
  int64_t channels_per_column = 1;
  int64_t rows = 0, columns = 0;
  std::vector<Half> absmax;  // [rows, columns]; empty: no map
  friend bool operator==(const OutlierMap&, const OutlierMap&) = default;
};

struct SiteCard {
  SiteRef site;

  // Of the calibration images; empty without calibration. Bin b holds the magnitudes in
  // [bin_edge[b], bin_edge[b + 1]) by sign, zeros left out.
  std::vector<double> bin_edge;
  std::vector<uint64_t> negative_count, positive_count;
  uint64_t zero_count = 0, nan_count = 0, infinite_count = 0;
  double absmax = kUndefined;

  // Mean squared error of the input under one static scale, over the clip; ascending clips.
  std::vector<double> clip, clip_mse;

  // The largest magnitude of each group of adjacent channels, and the loudest channels by number.
  int64_t channels = 0, channels_per_point = 1;
  std::vector<double> channel_absmax;
  double channel_absmax_median = kUndefined;  // over single channels
  std::vector<int64_t> top_channel;
  std::vector<double> top_channel_absmax;

  // Per-token scale (largest magnitude / 127) by token position: the largest over images and group,
  // and the mean.
  int64_t tokens = 0, tokens_per_point = 1;
  std::vector<double> position_scale, position_scale_mean;

  // Of the evaluation images, in the chosen INT8 arm: how often each code up to 127 was used, from
  // -127 on or, with zero points, from -128 on. Empty where the input is not quantized.
  std::vector<uint64_t> code_count;
  int lowest_code() const { return 128 - static_cast<int>(code_count.size()); }
  OutlierMap map;
};

// An image on which the chosen INT8 arm is farthest from the reference.
struct WorstImage {
  std::string file;
  double sqnr_db = kUndefined;  // of the main output
  double cosine = kUndefined;
  std::string reference_answer, answer, accepted;  // classes; empty where there is no task
  int64_t width = 0, height = 0;
  std::vector<uint8_t> thumbnail;  // [height, width, 3], RGB
};

}  // namespace w8a8
