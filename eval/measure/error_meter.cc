#include "eval/measure/error_meter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "eval/measure/intervals.h"
#include "runtime/base/error.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

struct ImageSums {
  ErrorSums finite = {};
  uint64_t nonfinite = 0;
};

double Total(const double (&lanes)[kErrorLanes]) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

bool BothFinite(float expected, float actual) {
  constexpr float kMax = std::numeric_limits<float>::max();
  return (std::fabs(expected) <= kMax) & (std::fabs(actual) <= kMax);
}

// One row of each as floats, padded with zeros to a multiple of kErrorLanes.
struct RowPair {
  explicit RowPair(int64_t columns)
      : cols(static_cast<size_t>(columns)),
        expected((cols + kErrorLanes - 1) / kErrorLanes * kErrorLanes),
        actual(expected.size()) {}

  size_t cols;
  std::vector<float> expected, actual;
};

void CopyAsFloats(std::span<const Half> from, std::span<float> to) { ToFloat(from, to); }
void CopyAsFloats(std::span<const float> from, std::span<float> to) {
  std::ranges::copy(from, to.begin());
}

// Pairs that are not finite become zeros in both, which add nothing to any sum.
uint64_t ClearNonfinite(RowPair& row) {
  size_t finite = 0;
  for (size_t k = 0; k < row.cols; ++k) finite += BothFinite(row.expected[k], row.actual[k]);
  if (finite == row.cols) return 0;
  for (size_t k = 0; k < row.cols; ++k) {
    if (!BothFinite(row.expected[k], row.actual[k])) row.expected[k] = row.actual[k] = 0;
  }
  return row.cols - finite;
}

void AddRow(ImageSums& sums, RowPair& row) {
  sums.nonfinite += ClearNonfinite(row);
  KernelsInUse().rows->add_error_sums({.expected = row.expected.data(),
                                       .actual = row.actual.data(),
                                       .count = static_cast<int64_t>(row.expected.size()),
                                       .sums = &sums.finite});
}

ImageError MakeRecord(SamplePtr sample, const ImageSums& sums, int64_t pairs) {
  ImageError record;
  record.sample = std::move(sample);
  record.sum_expected_sq = Total(sums.finite.expected_sq);
  record.sum_actual_sq = Total(sums.finite.actual_sq);
  record.sum_product = Total(sums.finite.product);
  record.sum_error_sq = Total(sums.finite.error_sq);
  record.sum_error = Total(sums.finite.error);
  record.max_abs = *std::ranges::max_element(sums.finite.max_abs);
  record.compared = static_cast<uint64_t>(pairs) - sums.nonfinite;
  record.nonfinite = sums.nonfinite;
  return record;
}

bool ComesBefore(const ImageError& first, const ImageError& second) {
  return *first.sample < *second.sample;
}

void Sort(std::vector<ImageError>& records) {
  if (!std::is_sorted(records.begin(), records.end(), ComesBefore)) {
    std::sort(records.begin(), records.end(), ComesBefore);
  }
}

void AddView(const ImageError& view, ImageError& image) {
  image.sum_expected_sq += view.sum_expected_sq;
  image.sum_actual_sq += view.sum_actual_sq;
  image.sum_product += view.sum_product;
  image.sum_error_sq += view.sum_error_sq;
  image.sum_error += view.sum_error;
  image.max_abs = std::max(image.max_abs, view.max_abs);
  image.compared += view.compared;
  image.nonfinite += view.nonfinite;
  image.saturated += view.saturated;
  image.elements += view.elements;
}

// What is pooled over images, of a whole run or of a resample.
struct Pooled {
  double expected_sq = 0, error_sq = 0, max_abs = 0;

  void Add(const ImageError& record) {
    expected_sq += record.sum_expected_sq;
    error_sq += record.sum_error_sq;
    max_abs = std::max(max_abs, record.max_abs);
  }
  double SqnrDb() const { return 10 * std::log10(expected_sq / error_sq); }
  double RelativeL2() const { return error_sq == 0 ? 0.0 : std::sqrt(error_sq / expected_sq); }
};

std::vector<double> Cosines(const std::vector<ImageError>& records) {
  std::vector<double> cosines;
  cosines.reserve(records.size());
  for (const ImageError& record : records) cosines.push_back(Cosine(record));
  return cosines;
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The places of images that are one to the encoder, together: equal pixels give equal bits in every
// sum, whatever the files are. In the order of the first of each.
std::vector<std::vector<size_t>> DifferentImages(const std::vector<ImageError>& records) {
  using Sums = std::array<double, 5>;
  std::map<Sums, size_t> place_of;
  std::vector<std::vector<size_t>> different;
  for (size_t i = 0; i < records.size(); ++i) {
    const ImageError& r = records[i];
    const Sums sums{r.sum_expected_sq, r.sum_actual_sq, r.sum_product, r.sum_error_sq, r.max_abs};
    const auto [at, is_new] = place_of.emplace(sums, different.size());
    if (is_new) different.emplace_back();
    different[at->second].push_back(i);
  }
  return different;
}

double FirstPercentile(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return PercentileOfSorted(values, 0.01);
}

}  // namespace

double Cosine(const ImageError& record) {
  if (record.compared == 0) return kUndefined;
  if (record.sum_expected_sq == 0 && record.sum_actual_sq == 0) return 1.0;
  if (record.sum_expected_sq == 0 || record.sum_actual_sq == 0) return 0.0;
  if (record.sum_error_sq == 0) return 1.0;  // not 1 - 1e-16 from the square roots
  const double cosine =
      record.sum_product / (std::sqrt(record.sum_expected_sq) * std::sqrt(record.sum_actual_sq));
  return std::clamp(cosine, -1.0, 1.0);
}

template <class Expected, class Actual>
void ErrorMeter::AddRows(SamplePtr sample, MatView<const Expected> expected,
                         MatView<const Actual> actual) {
  W8A8_CHECK(expected.rows == actual.rows && expected.cols == actual.cols);
  ImageSums sums;
  RowPair row(expected.cols);
  for (int64_t r = 0; r < expected.rows; ++r) {
    CopyAsFloats(expected.row_span(r), std::span(row.expected).first(row.cols));
    CopyAsFloats(actual.row_span(r), std::span(row.actual).first(row.cols));
    AddRow(sums, row);
  }
  records_.push_back(MakeRecord(std::move(sample), sums, expected.rows * expected.cols));
}

void ErrorMeter::Add(SamplePtr sample, MatView<const Half> expected, MatView<const Half> actual) {
  AddRows(std::move(sample), expected, actual);
}
void ErrorMeter::Add(SamplePtr sample, MatView<const Half> expected, MatView<const float> actual) {
  AddRows(std::move(sample), expected, actual);
}
void ErrorMeter::Add(SamplePtr sample, MatView<const float> expected, MatView<const float> actual) {
  AddRows(std::move(sample), expected, actual);
}

void ErrorMeter::AddSaturation(uint64_t saturated, uint64_t elements) {
  W8A8_CHECK(!records_.empty() && saturated <= elements);
  records_.back().saturated += saturated;
  records_.back().elements += elements;
}

void ErrorMeter::Merge(const ErrorMeter& other) {
  Sort(records_);
  const auto own = static_cast<std::ptrdiff_t>(records_.size());
  records_.insert(records_.end(), other.records_.begin(), other.records_.end());
  std::sort(records_.begin() + own, records_.end(), ComesBefore);
  std::inplace_merge(records_.begin(), records_.begin() + own, records_.end(), ComesBefore);
  const auto twice =
      std::adjacent_find(records_.begin(), records_.end(),
                         [](const auto& a, const auto& b) { return *a.sample == *b.sample; });
  if (twice == records_.end()) return;
  const SampleKey& sample = *twice->sample;
  Fail(
      "image '{}' (view {}, sha256 {}) was measured in two of the runs to merge and would count "
      "twice. Split the images so that each is in one run.",
      sample.image.name, sample.view, sample.image.sha256);
}

bool operator==(const ImageError& first, const ImageError& second) {
  bool same = *first.sample == *second.sample;
  ForEachColumn<ImageError>([&](const char*, auto member) {
    if constexpr (!std::is_same_v<decltype(member), SamplePtr ImageError::*>) {
      same = same && first.*member == second.*member;
    }
  });
  return same;
}

std::string ProblemOf(const ErrorMeter& meter) {
  for (size_t i = 0; i < meter.records_.size(); ++i) {
    const ImageError& record = meter.records_[i];
    if (i > 0 && !ComesBefore(meter.records_[i - 1], record)) return "has samples out of order";
    for (const double sum : {record.sum_expected_sq, record.sum_actual_sq, record.sum_product,
                             record.sum_error_sq, record.sum_error, record.max_abs}) {
      if (!std::isfinite(sum)) return fmt::format("has a sum of {}", sum);
    }
    if (record.saturated > record.elements) return "has more saturated values than values";
  }
  return "";
}

std::vector<ImageError> ErrorMeter::ByImage() const {
  std::vector<ImageError> samples = records_;
  Sort(samples);
  std::vector<ImageError> images;
  for (ImageError& record : samples) {
    W8A8_CHECK(images.empty() || *images.back().sample != *record.sample);
    if (!images.empty() && images.back().sample->image == record.sample->image) {
      AddView(record, images.back());
    } else {
      images.push_back(std::move(record));
    }
  }
  return images;
}

ErrorSummary ErrorMeter::Summarize() const {
  ErrorSummary summary;
  std::vector<ImageError> records = ByImage();
  summary.images = records.size();
  uint64_t saturated = 0, elements = 0;
  for (const ImageError& record : records) {
    summary.compared += record.compared;
    summary.nonfinite += record.nonfinite;
    saturated += record.saturated;
    elements += record.elements;
  }
  if (elements > 0) {
    summary.saturation = static_cast<double>(saturated) / static_cast<double>(elements);
  }
  std::erase_if(records, [](const ImageError& record) { return record.compared == 0; });
  if (records.empty()) return summary;

  Pooled pooled;
  double sum_error = 0;
  for (const ImageError& record : records) {
    pooled.Add(record);
    sum_error += record.sum_error;
  }
  const std::vector<double> cosines = Cosines(records);
  summary.sqnr_db = pooled.error_sq == 0 ? HUGE_VAL : pooled.SqnrDb();
  summary.relative_l2 = pooled.RelativeL2();
  summary.cosine_mean = Mean(cosines);
  summary.cosine_p1 = FirstPercentile(cosines);
  summary.max_abs = pooled.max_abs;
  summary.mean_error = sum_error / static_cast<double>(summary.compared);
  summary.exact = pooled.error_sq == 0 && summary.nonfinite == 0;
  return summary;
}

OutputErrors ErrorMeter::Estimates(uint64_t seed) const {
  const ErrorSummary summary = Summarize();
  std::vector<ImageError> records = ByImage();
  std::erase_if(records, [](const ImageError& record) { return record.compared == 0; });
  OutputErrors errors;
  errors.exact = summary.exact;
  errors.nonfinite = summary.nonfinite;
  if (records.empty()) return errors;

  const std::vector<double> cosines = Cosines(records);
  const std::vector<std::vector<size_t>> different = DifferentImages(records);
  std::vector<double> sqnr_db, relative_l2, cosine_mean, cosine_p1, max_abs;
  std::vector<double> drawn_cosines;
  ForEachResample(different.size(), seed, [&](std::span<const uint32_t> draws) {
    Pooled pooled;
    drawn_cosines.clear();
    for (const uint32_t draw : draws) {
      for (const size_t i : different[draw]) {
        pooled.Add(records[i]);
        drawn_cosines.push_back(cosines[i]);
      }
    }
    sqnr_db.push_back(pooled.error_sq == 0 ? HUGE_VAL : pooled.SqnrDb());
    relative_l2.push_back(pooled.RelativeL2());
    max_abs.push_back(pooled.max_abs);
    cosine_mean.push_back(Mean(drawn_cosines));
    cosine_p1.push_back(FirstPercentile(drawn_cosines));
  });
  if (!summary.exact) errors.sqnr_db = PercentileInterval(summary.sqnr_db, std::move(sqnr_db));
  errors.relative_l2 = PercentileInterval(summary.relative_l2, std::move(relative_l2));
  errors.cosine_mean = PercentileInterval(summary.cosine_mean, std::move(cosine_mean));
  errors.cosine_p1 = PercentileInterval(summary.cosine_p1, std::move(cosine_p1));
  errors.max_abs = PercentileInterval(summary.max_abs, std::move(max_abs));
  return errors;
}

}  // namespace w8a8
