// The error of one tensor (a layer's output, an encoder's output) in one arm against the reference,
// over many images. Holds one record per image and reduces them in an order of the images' own, so
// the result does not depend on the order of arrival, on batches or on threads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "reports/estimate.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// The images of a run and the order in which meters are reduced: (sha256, file name).
class ImageOrder {
 public:
  // `image` is the caller's number for it; adding it again with the same key does nothing.
  void Add(int64_t image, const std::string& sha256, const std::string& file);
  void Merge(const ImageOrder& other) { keys_.insert(other.keys_.begin(), other.keys_.end()); }
  size_t size() const { return keys_.size(); }
  // Numbers of all images in the order of reduction.
  std::vector<int64_t> Sorted() const;

 private:
  std::map<int64_t, std::pair<std::string, std::string>> keys_;
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
  // All rows of one image, without padding; equal shapes. One call per image.
  void Add(int64_t image, MatView<const Half> expected, MatView<const Half> actual);
  // Where the arm's values are no FP16 values: an input as quantized, code times scale.
  void Add(int64_t image, MatView<const Half> expected, MatView<const float> actual);
  // Of the codes that the arm made for the image; after Add().
  void AddSaturation(int64_t image, uint64_t saturated, uint64_t elements);

  // The records of a worker that saw other images.
  void Merge(const ErrorMeter& other);

  // `order` knows every image that was added; an image added twice is a bug.
  ErrorSummary Summarize(const ImageOrder& order) const;
  // With bootstrap intervals over the images.
  OutputErrors Estimates(const ImageOrder& order, uint64_t seed) const;

  const std::vector<ImageError>& records() const { return records_; }

 private:
  std::vector<ImageError> Reduced(const ImageOrder& order) const;

  std::vector<ImageError> records_;
};

// The cosine of one image: 1 if both are zero, 0 if one is.
double Cosine(const ImageError& record);

}  // namespace w8a8
