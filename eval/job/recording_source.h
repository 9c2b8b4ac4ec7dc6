// The encoder's input as a part of the features.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eval/measure/feature_tap.h"
#include "eval/run/image_source.h"

namespace w8a8 {

enum class KeepPixels { kYes, kNo };

// Hands the images of another source on and keeps their pixels as `pixel_values`, if wanted.
class RecordingSource final : public ImageSource {
 public:
  // Pixels are kept as [channels, height, width], those of a variable grid as transformers'
  // processor hands them out, with `pixel_attention_mask` and `spatial_shapes`. Where an image has
  // several views, the image of each sample is kept as `image_index`.
  RecordingSource(ImageSource& source, const EncoderConfig& config, KeepPixels keep_pixels,
                  FeatureStore* store)
      : source_(source),
        config_(config),
        keep_pixels_(keep_pixels == KeepPixels::kYes),
        store_(store) {}
  std::optional<InputImage> Next() override;

  const std::vector<std::string>& names() const { return names_; }  // of the images

 private:
  void PutImageIndex() const;
  void PutPixels(const InputImage& image) const;
  void PutPatches(const InputImage& image) const;

  ImageSource& source_;
  const EncoderConfig& config_;
  const bool keep_pixels_;
  FeatureStore* const store_;
  std::vector<std::string> names_;
  std::vector<std::pair<SampleKey, int64_t>> image_of_sample_;
};

}  // namespace w8a8
