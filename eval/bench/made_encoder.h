// Encoders of made weights: the shapes that people run, without a file.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/run/image_source.h"
#include "runtime/encoder/config.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

struct MadeEncoder {
  std::string key;  // one of kMadeEncoders or kWideEncoders
  EncoderConfig config;
  int64_t all_blocks = 0;  // of the model that it stands for; config.blocks of them are there
};

constexpr std::array<std::string_view, 3> kMadeEncoders = {"vit-ti", "base", "so400m"};
// ViT-Ti/16 at 224 (197 tokens), base/16 at 224 (196) and so400m/14 at 384 (729), this one with at
// most `most_blocks` of its 27 blocks.
std::vector<MadeEncoder> MadeEncoders(int64_t most_blocks);
// Those that run only where they are named: InternViT-300M (24 blocks of width 1,024) and 6B (45 of
// 3,200: 0.5 GB of FP32 weights each) at 448, 1,025 tokens, with at most `most_blocks` of theirs.
constexpr std::array<std::string_view, 2> kWideEncoders = {"internvit-300m", "internvit-6b"};
std::vector<MadeEncoder> WideEncoders(int64_t most_blocks);
// One that runs in milliseconds, for tests.
MadeEncoder SmallEncoder();

// Each value is hashed from the layer's name and its own index; matrices have variance 1 / inputs,
// so that activations stay near 1 through any number of blocks. Thread-safe.
class MadeWeights final : public Weights {
 public:
  explicit MadeWeights(const EncoderConfig& config);

  LinearParameters Linear(const std::string& stem) const override;
  std::vector<float> Vector(const std::string& stem, const char* part) const override;
  const EncoderWeights& checkpoint() const override;  // there is none: never called

 private:
  const CheckpointLayout layout_;
};

std::vector<float> MadePixels(const EncoderConfig& config, uint64_t seed);

// `count` images of made pixels.
class MadeImageSource final : public ImageSource {
 public:
  MadeImageSource(const EncoderConfig& config, int64_t count) : config_(config), count_(count) {}
  std::optional<InputImage> Next() override;

 private:
  const EncoderConfig& config_;
  const int64_t count_;
  int64_t next_ = 0;
};

}  // namespace w8a8
