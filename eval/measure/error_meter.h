// The error of one tensor (a layer's output, an encoder's output) in one arm against the reference,
// over many images. Holds one record per image and reduces them in an order of the images' own, so
// the result does not depend on the order of arrival, on batches or on threads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "reports/estimate.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// The samples of a run and the order in which meters are reduced: (sha256, file name), the views of
// one image in their own order.
class ImageOrder {
 public:
  // `image` is the caller's number for it; adding it again with the same key does nothing.
  void Add(int64_t image, const std::string& sha256, const std::string& file) {
    AddView(image, image, sha256, file);
  }
  // `sample` is a view of `image`; both are the caller's numbers.
  void AddView(int64_t sample, int64_t image, const std::string& sha256, const std::string& file);
  void Merge(const ImageOrder& other) { keys_.insert(other.keys_.begin(), other.keys_.end()); }

  struct Entry {
    int64_t sample = 0, image = 0;
  };
  // All samples in the order of reduction.
  std::vector<Entry> Sorted() const;

 private:
  std::map<int64_t, std::tuple<std::string, std::string, int64_t>> keys_;  // by sample
};

// 88 bytes: what a meter keeps of an image. Sums are binary64 over the pairs whose expected and
// actual value are both finite.
struct ImageError {
  int64_t image = 0;
  double sum_expected_sq = 0, sum_actual_sq = 0, sum_product = 0;
  double sum_error_sq = 0, sum_error = 0;  // error = actual - expected
  double max_abs = 0;
  uint64_t compared = 0;   // pairs in the sums
  uint64_t nonfinite = 0;  // pairs left out because either is NaN or infinite
  uint64_t saturated = 0, elements = 0;
};
static_assert(sizeof(ImageError) == 88);

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
  void Add(int64_t image, MatView<const Half> expected, MatView<const Half> actual);
  // Where the arm's values are no FP16 values: an input as quantized, code times scale.
  void Add(int64_t image, MatView<const Half> expected, MatView<const float> actual);
  // Of the codes that the arm made for the image; after Add().
  void AddSaturation(int64_t image, uint64_t saturated, uint64_t elements);

  // The records of a worker that saw other images.
  void Merge(const ErrorMeter& other);

  // `order` knows every sample that was added; a sample added twice is a bug. The views of an image
  // are one image here, its rows their rows.
  ErrorSummary Summarize(const ImageOrder& order) const;
  // With bootstrap intervals over the images.
  OutputErrors Estimates(const ImageOrder& order, uint64_t seed) const;

  // One record per image, in the order of reduction.
  std::vector<ImageError> ByImage(const ImageOrder& order) const;
  // One record per sample, as they came.
  const std::vector<ImageError>& records() const { return records_; }

 private:
  std::vector<ImageError> records_;
};

// The cosine of one image: 1 if both are zero, 0 if one is.
double Cosine(const ImageError& record);

}  // namespace w8a8
