// What calibration keeps about one linear layer: about its input, and where asked which values its
// output took. Everything is exact or an integer, so
// the result is the same in every bit for any order of images, batches, threads and machines.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calib/pattern_histogram.h"
#include "calib/row_sample.h"
#include "calib/wide_int.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// Whether calibration looks at what linear layers give, besides what they get.
enum class LayerOutputs : uint8_t { kIgnored, kObserved };

// About 512 KiB (once more with outputs) + 36 bytes a channel + 20 bytes a token + the sample (2
// bytes a channel and row). Not for two threads at once: give each worker its own and Merge() at
// the end.
struct SiteStatistics {
  // `tokens` is the largest number of rows that one image has at this site.
  SiteStatistics(int64_t channels, int64_t tokens, int64_t row_sample_size = kRowSampleSize);

  // All rows of one image, [rows, channels], once per image. Row r is token r, or token tokens[r]
  // where rows are missing (padding, experts); tokens are in [0, tokens).
  void Observe(const RowKeys& keys, MatView<const Half> rows, std::span<const int32_t> tokens = {});
  // The same of an image that was counted elsewhere, row and channel by CountRows()' rules. Its
  // values and rows are the caller's to add to `histogram` and `rows`.
  void ObserveMoments(std::span<const Half> row_absmax, std::span<const int32_t> tokens,
                      std::span<const double> sum, std::span<const double> sum_sq,
                      std::span<const Half> channel_absmax);
  // All rows of one image of the layer's FP16 output, [rows, N], once per image.
  void ObserveOutputs(MatView<const Half> rows);
  // Throws Error if the sizes differ, only one of the two has outputs, or a counter overflows.
  void Merge(const SiteStatistics& other);

  int64_t channels() const { return static_cast<int64_t>(channel_absmax.size()); }
  int64_t tokens() const { return static_cast<int64_t>(position_absmax.size()); }
  uint64_t Rows() const;  // observed in all
  float AbsMax() const { return histogram.AbsMax(); }

  PatternHistogram histogram;
  // Per channel, over the finite values of all rows.
  std::vector<float> channel_absmax;
  std::vector<Int128> channel_sum;     // unit 2^-24, exact
  std::vector<Int128> channel_sum_sq;  // unit 2^-48; each image's part was rounded to binary64
  // Per token position, of the row's largest finite magnitude.
  std::vector<float> position_absmax;
  std::vector<uint64_t> position_absmax_sum;  // unit 2^-24, exact
  std::vector<uint64_t> position_count;       // rows observed
  RowSample rows;
  std::optional<PatternHistogram> outputs;  // of the layer; none: not observed

 private:
  void AddRow(int64_t token, float row_max);
  void AddImage(std::span<const double> sum, std::span<const double> sum_sq,
                std::span<const Half> absmax);
};

}  // namespace w8a8
