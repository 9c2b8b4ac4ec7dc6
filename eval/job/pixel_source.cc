#include "eval/job/pixel_source.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <nlohmann/json.hpp>

#include "datasets/naflex.h"
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

int64_t IntegerAt(const TensorView& tensor, size_t i) {
  if (tensor.dtype == Dtype::kI32) {
    int32_t value = 0;
    std::memcpy(&value, tensor.bytes.data() + i * sizeof(value), sizeof(value));
    return value;
  }
  int64_t value = 0;
  std::memcpy(&value, tensor.bytes.data() + i * sizeof(value), sizeof(value));
  return value;
}

bool IsIntegers(const TensorView& tensor, const std::vector<int64_t>& shape) {
  return (tensor.dtype == Dtype::kI32 || tensor.dtype == Dtype::kI64) && tensor.shape == shape;
}

// A mask that is none of a grid's patches first and padding after them.
void CheckMask(const SafetensorsFile& file, const std::vector<PatchGrid>& grids, int64_t rows) {
  const auto found = file.tensors().find("pixel_attention_mask");
  if (found == file.tensors().end()) return;
  const auto images = static_cast<int64_t>(grids.size());
  bool fits = IsIntegers(found->second, {images, rows});
  for (size_t i = 0; fits && i < static_cast<size_t>(images * rows); ++i) {
    const PatchGrid& grid = grids[i / static_cast<size_t>(rows)];
    const auto row = static_cast<int64_t>(i % static_cast<size_t>(rows));
    fits = IntegerAt(found->second, i) == (row < grid.patches() ? 1 : 0);
  }
  if (fits) return;
  Fail(
      "{}: pixel_attention_mask is not I32 or I64 [{}, {}] with 1 for the first height * width "
      "patches of each image (spatial_shapes) and 0 after them.",
      file.path().string(), images, rows);
}

std::vector<PatchGrid> ReadGrids(const SafetensorsFile& file, const EncoderConfig& config) {
  const TensorView& pixels = file.Get(kTensorName);
  const int64_t row_size = config.channels * config.patch * config.patch;
  if (pixels.shape.size() != 3 || pixels.shape[0] < 1 || pixels.shape[1] < 1 ||
      pixels.shape[2] != row_size) {
    Fail("{}: {} is {}, but this encoder takes patches [images, rows, {}], at least one of each.",
         file.path().string(), kTensorName, pixels.ShapeText(), row_size);
  }
  const TensorView& shapes = file.Get("spatial_shapes");
  if (!IsIntegers(shapes, {pixels.shape[0], 2})) {
    Fail("{}: spatial_shapes is {} {}, expected I32 or I64 [{}, 2].", file.path().string(),
         DtypeName(shapes.dtype), shapes.ShapeText(), pixels.shape[0]);
  }
  std::vector<PatchGrid> grids(static_cast<size_t>(pixels.shape[0]));
  for (size_t i = 0; i < grids.size(); ++i) {
    grids[i] = {IntegerAt(shapes, 2 * i), IntegerAt(shapes, 2 * i + 1)};
    const int64_t sides = std::max(grids[i].rows, grids[i].cols);
    if (std::min(grids[i].rows, grids[i].cols) < 1 || sides > pixels.shape[1] ||
        grids[i].patches() > pixels.shape[1]) {
      Fail("{}: spatial_shapes says {} x {} patches for image {}; {} holds 1 to {} rows of each.",
           file.path().string(), grids[i].rows, grids[i].cols, i, kTensorName, pixels.shape[1]);
    }
  }
  CheckMask(file, grids, pixels.shape[1]);
  return grids;
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
    : file_(path), config_(config) {
  const TensorView& pixels = file_.Get(kTensorName);
  if (config.variable_grid) {
    grids_ = ReadGrids(file_, config);
  } else if (pixels.shape.size() != 4 || pixels.shape[0] < 1 ||
             pixels.shape[1] != config.channels || pixels.shape[2] != config.image_height ||
             pixels.shape[3] != config.image_width) {
    Fail("{}: {} is {}, but this encoder takes [images, {}, {}, {}] with at least one image.",
         path.string(), kTensorName, pixels.ShapeText(), config.channels, config.image_height,
         config.image_width);
  }
  image_index_ = ImageIndex(file_, static_cast<size_t>(pixels.shape[0]));
  const auto images = static_cast<size_t>(image_index_.back()) + 1;
  std::vector<std::string> names = NamesFromMetadata(Metadata("images"), images);
  for (size_t i = names.size(); i < images; ++i) {
    names.push_back(fmt::format("{}[{}]", kTensorName, i));
  }
  const std::vector<int64_t> copies = CountCopies(names);
  for (size_t i = 0; i < images; ++i) {
    images_.push_back({.sha256 = "", .name = std::move(names[i]), .copy = copies[i]});
  }
}

std::optional<InputImage> PixelSource::Next() {
  const size_t samples = image_index_.size();
  if (next_ == samples) return std::nullopt;
  const size_t index = next_++;
  const int64_t image = image_index_[index];
  view_ = index > 0 && image_index_[index - 1] == image ? view_ + 1 : 0;
  InputImage sample = ReadSample(index);
  sample.key = {.image = images_[static_cast<size_t>(image)], .view = view_};
  sample.whole = index + 1 == samples || image_index_[index + 1] != image;
  return sample;
}

InputImage PixelSource::ReadSample(size_t index) const {
  const TensorView& all = file_.Get(kTensorName);
  const size_t bytes = all.bytes.size() / image_index_.size();
  const TensorView one{.name = all.name,
                       .dtype = all.dtype,
                       .shape = {all.shape.begin() + 1, all.shape.end()},
                       .bytes = all.bytes.subspan(index * bytes, bytes)};
  InputImage image;
  image.pixels = FloatValues(one);
  if (!config_.variable_grid) return image;
  image.grid = grids_[index];
  image.pixels.resize(static_cast<size_t>(image.grid.patches() * one.shape[1]));
  const auto patch = static_cast<int>(config_.patch);
  image.pixels = FromPatches(
      image.pixels, static_cast<int>(config_.channels),
      {static_cast<int>(image.grid.cols) * patch, static_cast<int>(image.grid.rows) * patch},
      patch);
  return image;
}

std::string PixelSource::Metadata(const std::string& key) const {
  const auto found = file_.metadata().find(key);
  return found == file_.metadata().end() ? "" : found->second;
}

}  // namespace w8a8
