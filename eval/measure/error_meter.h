// The error of one tensor (a layer's output, an encoder's output) in one arm against the reference,
// over many images. Holds one record per sample and reduces them in the order of their keys, so the
// result does not depend on the order of arrival, on batches, threads or processes.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "eval/measure/result_table.h"
#include "eval/run/sample.h"
#include "reports/estimate.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// 96 bytes: what a meter keeps of a sample, or of all views of an image. Sums are binary64 over the
// pairs whose expected and actual value are both finite.
struct ImageError {
  SamplePtr sample;  // of an image: its first view
  double sum_expected_sq = 0, sum_actual_sq = 0, sum_product = 0;
  double sum_error_sq = 0, sum_error = 0;  // error = actual - expected
  double max_abs = 0;
  uint64_t compared = 0;   // pairs in the sums
  uint64_t nonfinite = 0;  // pairs left out because either is NaN or infinite
  uint64_t saturated = 0, elements = 0;

  friend bool operator==(const ImageError& first, const ImageError& second);
  friend constexpr auto ColumnsOf(const ImageError*) {
    using R = ImageError;
    return std::tuple(Column("sample", &R::sample), Column("sum_expected_sq", &R::sum_expected_sq),
                      Column("sum_actual_sq", &R::sum_actual_sq),
                      Column("sum_product", &R::sum_product),
                      Column("sum_error_sq", &R::sum_error_sq), Column("sum_error", &R::sum_error),
                      Column("max_abs", &R::max_abs), Column("compared", &R::compared),
                      Column("nonfinite", &R::nonfinite), Column("saturated", &R::saturated),
                      Column("elements", &R::elements));
  }
};
static_assert(sizeof(ImageError) == 96);

// The whole of a meter, reduced. Everything is undefined (NaN) where nothing was compared.
struct ErrorSummary {
  double sqnr_db = kUndefined;  // pooled; +infinity (no number in a report) if there is no error
  double relative_l2 = kUndefined;
  double cosine_mean = kUndefined, cosine_p1 = kUndefined;  // over images
  double max_abs = kUndefined;
  double mean_error = kUndefined;
  double saturation = kUndefined;  // saturated / elements
  uint64_t images = 0, compared = 0, nonfinite = 0;
  bool exact = false;  // something was compared, nothing left out, no error
};

class ErrorMeter {
 public:
  // All rows of one sample, without padding; equal shapes. One call per sample.
  void Add(SamplePtr sample, MatView<const Half> expected, MatView<const Half> actual);
  // Where the arm's values are no FP16 values: an input as quantized, code times scale.
  void Add(SamplePtr sample, MatView<const Half> expected, MatView<const float> actual);
  // Where neither are: an input as quantized against what its quantizer should have seen.
  void Add(SamplePtr sample, MatView<const float> expected, MatView<const float> actual);
  // Of the codes that the arm made for the sample that was added last.
  void AddSaturation(uint64_t saturated, uint64_t elements);

  // The records of a worker or a run that saw other samples; all are in the order of their keys
  // then. Throws Error naming a sample that both saw.
  void Merge(const ErrorMeter& other);

  // A sample added twice is a bug. The views of an image are one image here, its rows their rows.
  ErrorSummary Summarize() const;
  // With bootstrap intervals over the images; those that are one to the encoder, with equal sums,
  // are drawn together.
  OutputErrors Estimates(uint64_t seed) const;

  // One record per image, in the order of the keys.
  std::vector<ImageError> ByImage() const;
  // One record per sample, as they came.
  const std::vector<ImageError>& records() const { return records_; }

  friend bool operator==(const ErrorMeter&, const ErrorMeter&) = default;
  friend constexpr auto ColumnsOf(const ErrorMeter*) {
    return std::tuple(Column("records", &ErrorMeter::records_));
  }
  // What no meter can hold; "" for one that can.
  friend std::string ProblemOf(const ErrorMeter& meter);

 private:
  template <class Expected, class Actual>
  void AddRows(SamplePtr sample, MatView<const Expected> expected, MatView<const Actual> actual);

  std::vector<ImageError> records_;
};

// The cosine of one image: 1 if both are zero, 0 if one is.
double Cosine(const ImageError& record);

}  // namespace w8a8
