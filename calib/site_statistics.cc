#include "calib/site_statistics.h"

#include <algorithm>

#include "runtime/base/count_rows.h"
#include "runtime/base/error.h"
#include "runtime/row_counter.h"

namespace w8a8 {
namespace {

constexpr double kSumUnit = 0x1p-24;

void AddWide(std::span<const Int128> from, std::span<Int128> into) {
  for (size_t i = 0; i < from.size(); ++i) {
    if (__builtin_add_overflow(from[i], into[i], &into[i])) {
      Fail("statistics: the 128-bit sum of channel {} overflows; a stats file is damaged.", i);
    }
  }
}

// Of one image.
RowMoments MomentsOfNothing(int64_t rows, int64_t channels) {
  const auto width = static_cast<size_t>(channels);
  return {.row_absmax = std::vector<Half>(static_cast<size_t>(rows)),
          .sum = std::vector<double>(width),
          .sum_sq = std::vector<double>(width),
          .channel_absmax = std::vector<Half>(width)};
}

void TakeLarger(std::span<const float> from, std::span<float> into) {
  for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

}  // namespace

SiteStatistics::SiteStatistics(int64_t channels, int64_t tokens, int64_t row_sample_size)
    : channel_absmax(static_cast<size_t>(channels), 0.0f),
      channel_sum(static_cast<size_t>(channels), 0),
      channel_sum_sq(static_cast<size_t>(channels), 0),
      position_absmax(static_cast<size_t>(tokens), 0.0f),
      position_absmax_sum(static_cast<size_t>(tokens), 0),
      position_count(static_cast<size_t>(tokens), 0),
      rows(channels, row_sample_size) {}

void SiteStatistics::Observe(const RowKeys& keys, MatView<const Half> image_rows,
                             std::span<const int32_t> token_of_row) {
  W8A8_CHECK(image_rows.cols == channels());
  W8A8_CHECK(token_of_row.empty() || static_cast<int64_t>(token_of_row.size()) == image_rows.rows);
  RowMoments moments = MomentsOfNothing(image_rows.rows, channels());
  CountRows(
      {.x = image_rows.data,
       .x_stride = image_rows.stride,
       .rows = image_rows.rows,
       .cols = image_rows.cols,
       .counts = histogram.CountersFor(static_cast<uint64_t>(image_rows.rows * image_rows.cols)),
       .sum = moments.sum.data(),
       .sum_sq = moments.sum_sq.data(),
       .absmax = moments.channel_absmax.data(),
       .row_absmax = moments.row_absmax.data()});
  ObserveMoments(moments.row_absmax, token_of_row, moments.sum, moments.sum_sq,
                 moments.channel_absmax);
  for (int64_t r = 0; r < image_rows.rows; ++r) {
    const int64_t token = token_of_row.empty() ? r : token_of_row[static_cast<size_t>(r)];
    rows.Offer(keys(token), image_rows.row_span(r));
  }
}

void SiteStatistics::ObserveMoments(std::span<const Half> row_absmax,
                                    std::span<const int32_t> token_of_row,
                                    std::span<const double> sum, std::span<const double> sum_sq,
                                    std::span<const Half> absmax) {
  for (size_t r = 0; r < row_absmax.size(); ++r) {
    const int64_t token = token_of_row.empty() ? static_cast<int64_t>(r) : token_of_row[r];
    W8A8_CHECK(token >= 0 && token < tokens());
    AddRow(token, ToFloat(row_absmax[r]));
  }
  AddImage(sum, sum_sq, absmax);
}

void SiteStatistics::AddRow(int64_t token, float row_max) {
  const auto t = static_cast<size_t>(token);
  position_absmax[t] = std::max(position_absmax[t], row_max);
  position_absmax_sum[t] += static_cast<uint64_t>(static_cast<double>(row_max) / kSumUnit);
  ++position_count[t];
}

void SiteStatistics::AddImage(std::span<const double> sum, std::span<const double> sum_sq,
                              std::span<const Half> absmax) {
  W8A8_CHECK(sum.size() == channel_sum.size());
  for (size_t c = 0; c < channel_absmax.size(); ++c) {
    channel_absmax[c] = std::max(channel_absmax[c], ToFloat(absmax[c]));
    channel_sum[c] += ToFixedPoint(sum[c], kSumFractionBits);
    channel_sum_sq[c] += ToFixedPoint(sum_sq[c], kSumOfSquaresFractionBits);
  }
}

void SiteStatistics::ObserveOutputs(MatView<const Half> image_rows) {
  if (!outputs) outputs.emplace();
  for (int64_t r = 0; r < image_rows.rows; ++r) outputs->Add(image_rows.row_span(r));
}

void SiteStatistics::Merge(const SiteStatistics& other) {
  if (other.channels() != channels() || other.tokens() != tokens() ||
      other.rows.capacity() != rows.capacity()) {
    Fail(
        "statistics of {} channels, {} tokens and up to {} sampled rows cannot be merged with "
        "those of {}, {} and {}; both must come from one model and one build.",
        channels(), tokens(), rows.capacity(), other.channels(), other.tokens(),
        other.rows.capacity());
  }
  if (other.outputs.has_value() != outputs.has_value()) {
    Fail(
        "statistics with outputs cannot be merged with those without; calibrate both in the same "
        "way.");
  }
  histogram.Merge(other.histogram);
  if (outputs) outputs->Merge(*other.outputs);
  TakeLarger(other.channel_absmax, channel_absmax);
  AddWide(other.channel_sum, channel_sum);
  AddWide(other.channel_sum_sq, channel_sum_sq);
  TakeLarger(other.position_absmax, position_absmax);
  AddCounts(other.position_absmax_sum, position_absmax_sum);
  AddCounts(other.position_count, position_count);
  rows.Merge(other.rows);
}

uint64_t SiteStatistics::Rows() const {
  uint64_t total = 0;
  for (const uint64_t count : position_count) total += count;
  return total;
}

}  // namespace w8a8
