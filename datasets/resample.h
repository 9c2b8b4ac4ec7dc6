// Resizing 8-bit RGB images with the bytes that the Python image libraries give.
//
// All of them resize in two passes (one per axis), always antialiased, in fixed point, and round
// the intermediate image to 8 bits. They differ in the order of the passes and in the weights'
// precision (Pillow's Resample.c; PyTorch's UpSampleKernel, uint8 with antialias=True).
#pragma once

#include <string_view>

#include "datasets/rgb_image.h"

namespace w8a8 {

enum class Filter { kNearest, kBilinear, kBicubic, kLanczos, kBox, kHamming };
std::string_view FilterName(Filter filter);
// Whether ResizeWindow() does it with kTorchvision.
bool IsInTorchvision(Filter filter);

enum class Resampler {
  kPillow13,     // vertical pass first where that is clearly less work; 22-bit weights
  kPillow12,     // up to Pillow 12.1: horizontal pass first; 22-bit weights
  kTorchvision,  // horizontal pass first; 16-bit weights
};
std::string_view ResamplerName(Resampler resampler);
// "pillow13", "pillow12", "torchvision"; any other name is a BadSetting.
Resampler ResamplerFromName(std::string_view name);

struct ImageSize {
  int width = 0;
  int height = 0;
  friend bool operator==(ImageSize, ImageSize) = default;
};

struct Window {
  int x = 0, y = 0, width = 0, height = 0;
};

RgbImage Crop(const RgbImage& image, const Window& window);

// The part `window` of `image` resized to `size`: the bytes of resizing everything and cropping
// then, but time and memory depend on the window alone. The window lies inside `size`. Nearest,
// box and hamming with kTorchvision throw BadSetting (PyTorch's nearest is another rule, which
// nothing here needs; it has neither of the others).
RgbImage ResizeWindow(const RgbImage& image, ImageSize size, const Window& window, Filter filter,
                      Resampler resampler);

RgbImage Resize(const RgbImage& image, ImageSize size, Filter filter, Resampler resampler);

}  // namespace w8a8
