#include "tests/arms/made_session.h"

#include <numeric>

#include <fmt/format.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/sha256.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/encoder/small_models.h"

namespace w8a8::test {

Session SessionOf(const std::filesystem::path& folder, SlotStorage residual) {
  Session session;
  session.config = ReadEncoderConfig(folder);
  session.graph = BuildGraph(session.config, residual);
  session.weights = std::make_unique<EncoderWeights>(folder, session.config);
  session.make_backend = [] { return MakeCpuBackend(""); };
  session.device = "cpu";
  return session;
}

Session MadeSession(const std::string& name) { return SessionOf(TinySiglipFolder(name)); }

MadeImages::MadeImages(const EncoderConfig& config, int64_t count, std::vector<int64_t> order,
                       bool tiled)
    : pixels_(config.channels * config.image_height * config.image_width),
      order_(std::move(order)),
      tiled_(tiled) {
  if (order_.empty()) {
    order_.resize(static_cast<size_t>(count));
    std::iota(order_.begin(), order_.end(), 0);
  }
}

std::optional<InputImage> MadeImages::Next() {
  if (next_ == order_.size()) return std::nullopt;
  const int64_t image = order_[next_];
  const bool whole = !tiled_ || next_view_ == image % 3;
  InputImage input;
  input.key = {.image = {.sha256 = Sha256Hex(fmt::format("made image {}", image)),
                         .name = fmt::format("a{:02}.png", image)},
               .view = next_view_};
  input.whole = whole;
  const auto seed = static_cast<uint64_t>(image + 1 + 100 * next_view_);
  for (int64_t i = 0; i < pixels_; ++i) {
    input.pixels.push_back(HashUniform(seed, static_cast<uint64_t>(i)));
  }
  next_ += whole ? 1 : 0;
  next_view_ = whole ? 0 : next_view_ + 1;
  return input;
}

}  // namespace w8a8::test
