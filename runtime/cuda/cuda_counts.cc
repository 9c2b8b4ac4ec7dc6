// Counts of CudaArena's rows, for calibration.
#include <vector>

#include "runtime/cuda/count_kernels.h"
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/mixture_kernels.h"

namespace w8a8 {
namespace {

constexpr int64_t kPatterns = 65536;

}  // namespace

std::vector<uint64_t> CudaArena::CountPatterns(SlotId id) {
  UseDevice(device_index_);
  patterns_.Reserve(kPatterns);
  ClearOnDevice(queue(), patterns_.bytes(), kPatterns * sizeof(uint64_t));
  LaunchCountPatterns(queue(), {.rows = half(id), .counts = patterns_.data()});
  return patterns_.ToHost(queue(), kPatterns);
}

RowMoments CudaArena::MomentsOf(SlotId id) {
  UseDevice(device_index_);
  const MatView<const Half> x = half(id);
  const int64_t images = inputs().images, channels = images * x.cols;
  std::vector<int64_t> first_rows;
  for (int64_t image = 0; image <= images; ++image) first_rows.push_back(FirstRow(id, image));
  first_rows_.Reserve(images + 1);
  staging_.Copy(queue(), first_rows_.bytes(), std::as_bytes(std::span(first_rows)));
  double* const sums = sums_.Reserve(2 * channels);
  Half* const largest = largest_.Reserve(x.rows + channels);
  LaunchRowAbsmax(queue(), x, largest);
  LaunchImageMoments(queue(), {.rows = x,
                               .first_row = first_rows_.data(),
                               .images = images,
                               .sum = sums,
                               .sum_sq = sums + channels,
                               .absmax = largest + x.rows});
  const std::vector<double> both = sums_.ToHost(queue(), 2 * channels);
  const std::vector<Half> magnitudes = largest_.ToHost(queue(), x.rows + channels);
  return {.row_absmax = {magnitudes.begin(), magnitudes.begin() + x.rows},
          .sum = {both.begin(), both.begin() + channels},
          .sum_sq = {both.begin() + channels, both.end()},
          .channel_absmax = {magnitudes.begin() + x.rows, magnitudes.end()}};
}

Matrix<Half> CudaArena::CopyRows(SlotId id, std::span<const int32_t> rows) {
  UseDevice(device_index_);
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t cols = slot(id).cols;
  Matrix<Half> copies(count, cols);
  if (count == 0) return copies;
  copied_rows_.Reserve(count);
  staging_.Copy(queue(), copied_rows_.bytes(), std::as_bytes(rows));
  const MatView<Half> gathered{rows_.Reserve(count * cols), count, cols, cols};
  LaunchGatherRows(queue(), half(id), copied_rows_.data(), gathered);
  CopyToHost(queue(), copies.view().data, rows_.bytes(),
             static_cast<size_t>(count * cols) * sizeof(Half));
  return copies;
}

}  // namespace w8a8
