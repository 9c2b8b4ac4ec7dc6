#include "eval/pixel_source.h"

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr const char* kTensorName = "pixel_values";

// The names that `preprocess` left, if they are a list of `count` strings.
std::vector<std::string> NamesFromMetadata(const std::string& text, size_t count) {
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || list.size() != count) return {};
  std::vector<std::string> names;
  for (const nlohmann::json& name : list) {
    if (!name.is_string()) return {};
    names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace

PixelSource::PixelSource(const std::filesystem::path& path, const EncoderConfig& config)
    : file_(path) {
  const TensorView& pixels = file_.Get(kTensorName);
  if (pixels.shape.size() != 4 || pixels.shape[0] < 1 || pixels.shape[1] != config.channels ||
      pixels.shape[2] != config.image_height || pixels.shape[3] != config.image_width) {
    Fail("{}: {} is {}, but this encoder takes [images, {}, {}, {}] with at least one image.",
         path.string(), kTensorName, pixels.ShapeText(), config.channels, config.image_height,
         config.image_width);
  }
  const auto images = static_cast<size_t>(pixels.shape[0]);
  names_ = NamesFromMetadata(Metadata("images"), images);
  for (size_t i = names_.size(); i < images; ++i) {
    names_.push_back(fmt::format("{}[{}]", kTensorName, i));
  }
}

std::optional<InputImage> PixelSource::Next() {
  if (next_ == static_cast<int64_t>(names_.size())) return std::nullopt;
  const TensorView& all = file_.Get(kTensorName);
  const size_t bytes = all.bytes.size() / names_.size();
  const auto index = static_cast<size_t>(next_);
  const TensorView one{.name = names_[index],
                       .dtype = all.dtype,
                       .shape = {all.shape.begin() + 1, all.shape.end()},
                       .bytes = all.bytes.subspan(index * bytes, bytes)};
  return InputImage{{next_++, names_[index], ""}, FloatValues(one)};
}

std::string PixelSource::Metadata(const std::string& key) const {
  const auto found = file_.metadata().find(key);
  return found == file_.metadata().end() ? "" : found->second;
}

}  // namespace w8a8
