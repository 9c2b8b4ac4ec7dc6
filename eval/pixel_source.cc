#include "eval/pixel_source.h"

#include <cstring>
#include <numeric>

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

std::vector<int64_t> ImageIndex(const SafetensorsFile& file, size_t samples) {
  std::vector<int64_t> index(samples);
  std::iota(index.begin(), index.end(), 0);
  const auto found = file.tensors().find("image_index");
  if (found == file.tensors().end()) return index;
  const TensorView& tensor = found->second;
  bool fits = tensor.dtype == Dtype::kI64 && tensor.bytes.size() == samples * sizeof(int64_t);
  if (fits) std::memcpy(index.data(), tensor.bytes.data(), tensor.bytes.size());
  for (size_t i = 0; fits && i < samples; ++i) {
    const int64_t before = i == 0 ? 0 : index[i - 1];
    fits = index[i] == before || (i > 0 && index[i] == before + 1);
  }
  if (!fits) {
    Fail("{}: image_index is not I64 [{}], ascending from 0 by at most 1.", file.path().string(),
         samples);
  }
  return index;
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
  image_index_ = ImageIndex(file_, static_cast<size_t>(pixels.shape[0]));
  const auto images = static_cast<size_t>(image_index_.back()) + 1;
  names_ = NamesFromMetadata(Metadata("images"), images);
  for (size_t i = names_.size(); i < images; ++i) {
    names_.push_back(fmt::format("{}[{}]", kTensorName, i));
  }
}

std::optional<InputImage> PixelSource::Next() {
  const size_t samples = image_index_.size();
  if (next_ == samples) return std::nullopt;
  const size_t index = next_++;
  const int64_t image = image_index_[index];
  view_ = index > 0 && image_index_[index - 1] == image ? view_ + 1 : 0;
  const TensorView& all = file_.Get(kTensorName);
  const size_t bytes = all.bytes.size() / samples;
  const std::string& name = names_[static_cast<size_t>(image)];
  const TensorView one{.name = name,
                       .dtype = all.dtype,
                       .shape = {all.shape.begin() + 1, all.shape.end()},
                       .bytes = all.bytes.subspan(index * bytes, bytes)};
  return InputImage{{.index = static_cast<int64_t>(index),
                     .name = name,
                     .sha256 = "",
                     .image = image,
                     .view = view_,
                     .whole = index + 1 == samples || image_index_[index + 1] != image},
                    FloatValues(one)};
}

std::string PixelSource::Metadata(const std::string& key) const {
  const auto found = file_.metadata().find(key);
  return found == file_.metadata().end() ? "" : found->second;
}

}  // namespace w8a8
