// Made-up activations, one matrix for each image and site, from the counter hash. The same numbers
// as in tests/python/stats_oracle.py.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "calib/stats_file.h"
#include "runtime/base/mat_view.h"

namespace w8a8::test {

struct MadeSite {
  std::string site;
  int64_t channels = 0;
};

constexpr int64_t kMadeTokens = 11;

// Two sites, of 24 and 37 channels.
const std::vector<MadeSite>& MadeSites();

// Image i: sha256 of the text "image i", name "i.jpg".
ImageEntry MadeImage(int i);

// [kMadeTokens, channels]: value^5 * 48 of a uniform value in [-1, 1), a massive channel 3, one NaN
// and one -infinity in every fifth image, subnormals where the fifth power is small.
std::vector<Half> MadeRows(int image, const MadeSite& site);

inline MatView<const Half> View(const std::vector<Half>& values, int64_t channels) {
  return {values.data(), static_cast<int64_t>(values.size()) / channels, channels, channels};
}

// Statistics of the images in the order given.
CalibrationStats ObserveImages(const std::vector<int>& images, int64_t row_sample_size = 20);

// The same, and the outputs of layers of kMadeOutputs outputs: MadeRows of the site
// "<site>.output".
CalibrationStats ObserveOutputsToo(const std::vector<int>& images, int64_t row_sample_size = 20);
constexpr int64_t kMadeOutputs = 5;

// 0, 1, ... count - 1.
std::vector<int> FirstImages(int count);

}  // namespace w8a8::test
