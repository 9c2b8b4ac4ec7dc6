#include "runtime/encoder/weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <span>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/sha256.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/foreign_storage.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/quantization_record.h"
#include "runtime/encoder/tower_check.h"

namespace w8a8 {
namespace {

TensorView RowsOf(const TensorView& tensor, const StoredTensor& part) {
  TensorView rows = tensor;
  if (part.rows == tensor.shape.front()) return rows;
  const size_t row_bytes = tensor.bytes.size() / static_cast<size_t>(tensor.shape.front());
  rows.shape.front() = part.rows;
  rows.bytes = tensor.bytes.subspan(static_cast<size_t>(part.first_row) * row_bytes,
                                    static_cast<size_t>(part.rows) * row_bytes);
  return rows;
}

// `tensor`: as WhereIs() names it; `first`: the place in it of values[0].
void RequireFinite(const std::string& tensor, std::span<const float> values, size_t first = 0) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      Fail(
          "{} holds {} at element {}; a weight must be finite. The file is damaged or its training "
          "diverged; fetch or convert it again, or take an earlier checkpoint.",
          tensor, values[i], first + i);
    }
  }
}

void RequirePositive(const std::string& tensor, std::span<const float> scales) {
  for (size_t i = 0; i < scales.size(); ++i) {
    if (!(scales[i] > 0.0f)) {
      Fail(
          "{} holds the scale {} at element {}; a scale must be above 0. Quantize the model again.",
          tensor, scales[i], i);
    }
  }
}

template <class T>
void Append(std::vector<T>& to, std::vector<T> from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), from.begin(), from.end());
  }
}

std::vector<float> Transposed(const std::vector<float>& values, int64_t rows) {
  const auto from_rows = static_cast<size_t>(rows);
  const size_t from_cols = values.size() / from_rows;
  std::vector<float> result(values.size());
  for (size_t row = 0; row < from_rows; ++row) {
    for (size_t col = 0; col < from_cols; ++col) {
      result[col * from_rows + row] = values[row * from_cols + col];
    }
  }
  return result;
}

// Rows of (y, x, channel) as rows of (channel, y, x).
std::vector<float> ChannelsFirst(const std::vector<float>& values, const LinearLayout& layout) {
  const auto channels = static_cast<size_t>(layout.channels_last);
  const auto k = static_cast<size_t>(layout.k);
  const size_t pixels = k / channels;
  std::vector<float> result(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t row = i / k, pixel = i % k / channels, channel = i % channels;
    result[row * k + channel * pixels + pixel] = values[i];
  }
  return result;
}

}  // namespace

struct EncoderWeights::Impl {
  Impl(const std::filesystem::path& folder, const EncoderConfig& config,
       const std::string& wanted_prefix)
      : checkpoint(TowerFolder(folder)), layout(LayoutOf(config)) {
    const QuantizationRecord record(TowerFolder(folder));
    RefuseForeignTower(checkpoint, layout.anchor, record.Describe());
    prefix = checkpoint.FindTower(layout.anchor, wanted_prefix);
    report = CheckTower(checkpoint, prefix, layout, record);
    for (const LinearLayout& linear : layout.linears) linears.emplace(linear.stem, &linear);
    for (const VectorLayout& vector : layout.vectors) vectors.emplace(vector.name, &vector);
  }

  const TensorView& Get(const std::string& key) const {
    const TensorView* tensor = checkpoint.Find(FullKey(prefix, key));
    W8A8_CHECK(tensor != nullptr);
    return *tensor;
  }

  // "m/model.safetensors: tensor 'norm.weight'".
  std::string WhereIs(const TensorView& tensor) const {
    size_t file = 0;
    while (!checkpoint.Holds(file, tensor.name)) ++file;
    return fmt::format("{}: tensor '{}'", checkpoint.files()[file].string(), tensor.name);
  }

  const LinearLayout& LinearOf(const std::string& stem) const {
    const auto found = linears.find(stem);
    W8A8_CHECK(found != linears.end());
    return *found->second;
  }

  std::vector<float> Floats(const StoredTensor& part) const {
    const TensorView rows = RowsOf(Get(part.key), part);
    std::vector<float> values = FloatValues(rows);
    const size_t row_length = values.size() / static_cast<size_t>(part.rows);
    RequireFinite(WhereIs(rows), values, static_cast<size_t>(part.first_row) * row_length);
    ReleasePages(rows.bytes);
    return part.transposed ? Transposed(values, part.shape[0]) : values;
  }

  std::vector<std::filesystem::path> TowerFiles() const {
    std::vector<std::filesystem::path> holding;
    for (size_t file = 0; file < checkpoint.files().size(); ++file) {
      const auto in_file = [&](const StoredTensor& part) {
        const std::string stem = FullKey(prefix, StemOfKey(part.key));
        return checkpoint.Holds(file, FullKey(prefix, part.key)) ||
               checkpoint.Holds(file, stem + ".weight_scale") ||
               checkpoint.Holds(file, stem + ".input_scale");
      };
      const bool any =
          std::any_of(layout.linears.begin(), layout.linears.end(),
                      [&](const LinearLayout& linear) {
                        return std::any_of(linear.weights.begin(), linear.weights.end(), in_file) ||
                               std::any_of(linear.biases.begin(), linear.biases.end(), in_file);
                      }) ||
          std::any_of(layout.vectors.begin(), layout.vectors.end(),
                      [&](const VectorLayout& vector) {
                        return std::any_of(vector.tensors.begin(), vector.tensors.end(), in_file);
                      });
      if (any) holding.push_back(checkpoint.files()[file]);
    }
    return holding;
  }

  void ReadCodes(const StoredTensor& part, LinearParameters& linear) const {
    if (!linear.codes) linear.codes = WeightCodes{.n = linear.n, .k = linear.k};
    Append(linear.codes->codes, Int8Values(Get(part.key)));
    ReleasePages(Get(part.key).bytes);
    const std::string stem = StemOfKey(part.key);
    Append(linear.codes->scale.values, Scales(stem + ".weight_scale", part.rows));
    const TensorView* stored = checkpoint.Find(prefix + stem + ".input_scale");
    if (stored == nullptr) return;
    const float input_scale = Scales(stem + ".input_scale", 1).front();
    // The parts read one input: codes made with different scales could not share a product.
    if (linear.input_scale.value_or(input_scale) != input_scale) {
      Fail(
          "{} holds {} where the other parts of the same layer have {}; they must be equal. "
          "Quantize the model again, with one input scale for the layer.",
          WhereIs(*stored), input_scale, *linear.input_scale);
    }
    linear.input_scale = input_scale;
  }

  // One for each row; a lone one is that of all rows.
  std::vector<float> Scales(const std::string& key, int64_t rows) const {
    const TensorView& tensor = Get(key);
    std::vector<float> scales = FloatValues(tensor);
    RequireFinite(WhereIs(tensor), scales);
    RequirePositive(WhereIs(tensor), scales);
    if (scales.size() == 1) scales.resize(static_cast<size_t>(rows), scales.front());
    return scales;
  }

  std::vector<float> Dequantized(const StoredTensor& part) const {
    const TensorView& codes = Get(part.key);
    std::vector<float> values =
        DequantizedRows(codes, Scales(StemOfKey(part.key) + ".weight_scale", part.rows));
    ReleasePages(codes.bytes);
    return values;
  }

  // All parts of a layer carry a static input scale, or none does.
  void RequireSameInputScales(const LinearLayout& linear) const {
    size_t present = 0;
    for (const StoredTensor& part : linear.weights) {
      const std::string key = prefix + StemOfKey(part.key) + ".input_scale";
      present += checkpoint.Find(key) != nullptr ? 1 : 0;
    }
    if (present != 0 && present != linear.weights.size()) {
      Fail(
          "{}: only {} of the {} parts of '{}' have an 'input_scale'. Quantize the model again, "
          "with one input scale for the layer.",
          checkpoint.folder().string(), present, linear.weights.size(), linear.stem);
    }
  }

  Checkpoint checkpoint;
  CheckpointLayout layout;
  std::string prefix;
  TowerReport report;
  std::map<std::string, const LinearLayout*> linears;  // into layout
  std::map<std::string, const VectorLayout*> vectors;  // into layout
  mutable std::once_flag hashed;
  mutable std::string sha256;
};

EncoderWeights::EncoderWeights(const std::filesystem::path& folder, const EncoderConfig& config,
                               const std::string& prefix)
    : impl_(std::make_unique<Impl>(folder, config, prefix)) {}
EncoderWeights::~EncoderWeights() = default;
EncoderWeights::EncoderWeights(EncoderWeights&&) noexcept = default;

LinearParameters EncoderWeights::Linear(const std::string& stem) const {
  const LinearLayout& layout = impl_->LinearOf(stem);
  LinearParameters linear;
  linear.n = layout.n;
  linear.k = layout.k;
  linear.dtype = impl_->Get(layout.weights.front().key).dtype;
  const bool codes = linear.dtype == Dtype::kI8;
  for (const StoredTensor& part : layout.weights) {
    if (codes && layout.site) {
      impl_->ReadCodes(part, linear);
    } else if (codes) {
      Append(linear.values, impl_->Dequantized(part));
    } else {
      Append(linear.values, impl_->Floats(part));
    }
  }
  if (codes && layout.site) impl_->RequireSameInputScales(layout);
  if (layout.channels_last > 0) linear.values = ChannelsFirst(linear.values, layout);
  const bool has_bias =
      !layout.biases.empty() &&
      impl_->checkpoint.Find(FullKey(impl_->prefix, layout.biases.front().key)) != nullptr;
  for (const StoredTensor& part : layout.biases) {
    if (has_bias) Append(linear.bias, impl_->Floats(part));
  }
  return linear;
}

std::vector<float> EncoderWeights::Vector(const std::string& stem, const char* part) const {
  const std::string name = *part == '\0' ? stem : stem + "." + part;
  const auto found = impl_->vectors.find(name);
  std::vector<float> values;
  if (found == impl_->vectors.end()) return values;
  for (const StoredTensor& stored : found->second->tensors) Append(values, impl_->Floats(stored));
  return values;
}

LinearSource EncoderWeights::Source(const std::string& stem) const {
  LinearSource source;
  for (const StoredTensor& part : impl_->LinearOf(stem).weights) {
    source.stems.push_back(FullKey(impl_->prefix, StemOfKey(part.key)));
    source.rows.push_back(part.rows);
  }
  return source;
}

bool EncoderWeights::quantized() const { return impl_->report.quantized; }

const std::string& EncoderWeights::sha256() const {
  std::call_once(impl_->hashed, [this] {
    std::string lines;
    const std::vector<std::filesystem::path> tower_files = impl_->TowerFiles();
    for (const std::filesystem::path& file : tower_files) {
      const std::string hash = Sha256HexOfFile(file);
      lines += hash + "  " + file.filename().string() + "\n";
      impl_->sha256 = hash;
    }
    if (tower_files.size() > 1) impl_->sha256 = Sha256Hex(lines);
  });
  return impl_->sha256;
}

const std::string& EncoderWeights::source_sha256() const {
  const std::string* source = impl_->checkpoint.Metadata("source_sha256");
  return quantized() && source != nullptr ? *source : sha256();
}

const std::string& EncoderWeights::prefix() const { return impl_->prefix; }

std::vector<std::filesystem::path> EncoderWeights::files() const {
  return impl_->checkpoint.files();
}

const std::vector<std::string>& EncoderWeights::notes() const { return impl_->report.notes; }

bool EncoderWeights::Reads(const std::string& key) const {
  return impl_->report.read.contains(key);
}

std::vector<float> DequantizedRows(const TensorView& codes, std::span<const float> scales) {
  const std::vector<int8_t> integers = Int8Values(codes);
  const size_t row_length = integers.size() / scales.size();
  std::vector<float> values(integers.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(integers[i]) * scales[i / row_length];
  }
  return values;
}

}  // namespace w8a8
