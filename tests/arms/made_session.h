// A small encoder with hash weights and hash images, ready to run.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eval/job/session.h"
#include "eval/run/image_source.h"

namespace w8a8::test {

// The encoder in `folder` on the CPU, with the best usable kernel set.
Session SessionOf(const std::filesystem::path& folder, SlotStorage residual = SlotStorage::kHalf);

// The same of TinySiglip() with hash weights.
Session MadeSession(const std::string& name);

// `count` images of hash pixels in [-1, 1), named a00.png and on. `order` lists which are handed
// out, in which order; empty: all, ascending. With `tiled` image i comes in 1 + i % 3 views.
class MadeImages final : public ImageSource {
 public:
  MadeImages(const EncoderConfig& config, int64_t count, std::vector<int64_t> order = {},
             bool tiled = false);
  std::optional<InputImage> Next() override;

 private:
  const int64_t pixels_;
  std::vector<int64_t> order_;
  const bool tiled_;
  size_t next_ = 0;
  int64_t next_view_ = 0;
};

}  // namespace w8a8::test
