#include "runtime/encoder/weights.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/sha256.h"
#include "runtime/encoder/checked_values.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/expert_tensors.h"
#include "runtime/encoder/foreign_storage.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/quantization_record.h"
#include "runtime/encoder/stored_layer.h"
#include "runtime/encoder/tower_check.h"

namespace w8a8 {
namespace {

TensorView RowsOf(const TensorView& tensor, const StoredTensor& part) {
  TensorView rows = tensor;
  const auto behind = tensor.shape.begin() + part.row_dims;
  int64_t stored_rows = 1;
  for (auto side = tensor.shape.begin(); side != behind; ++side) stored_rows *= *side;
  if (part.rows == stored_rows) return rows;
  const size_t row_bytes = tensor.bytes.size() / static_cast<size_t>(stored_rows);
  rows.shape.assign(behind, tensor.shape.end());
  rows.shape.insert(rows.shape.begin(), part.rows);
  rows.bytes = tensor.bytes.subspan(static_cast<size_t>(part.first_row) * row_bytes,
                                    static_cast<size_t>(part.rows) * row_bytes);
  return rows;
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

// What a layer's codes have beside "<layer>.weight".
constexpr const char* kBesideCodes[] = {".weight_packed",     ".weight_shape", ".weight_scale",
                                        ".weight_zero_point", ".input_scale",  ".input_zero_point",
                                        ".output_scale"};

}  // namespace

struct EncoderWeights::Impl {
  Impl(const std::filesystem::path& folder, const EncoderConfig& config,
       const std::string& wanted_prefix)
      : checkpoint(TowerFolder(folder)), layout(LayoutOf(config)) {
    const QuantizationRecord record(TowerFolder(folder));
    RefuseForeignTower(checkpoint, layout.anchor, record.Describe());
    prefix = checkpoint.FindTower(layout.anchor, wanted_prefix);
    RefuseOtherExperts(checkpoint, prefix, config);
    report = CheckTower(checkpoint, prefix, layout, record);
    for (const LinearLayout& linear : layout.linears) linears.emplace(linear.stem, &linear);
    for (const VectorLayout& vector : layout.vectors) vectors.emplace(vector.name, &vector);
  }

  const TensorView& Get(const std::string& key) const {
    const TensorView* tensor = checkpoint.Find(FullKey(prefix, key));
    W8A8_CHECK(tensor != nullptr);
    return *tensor;
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
    RequireFinite(checkpoint.WhereIs(rows), values,
                  static_cast<size_t>(part.first_row) * row_length);
    ReleasePages(rows.bytes);
    return part.transposed ? Transposed(values, part.rows) : values;
  }

  // Whether shard `file` holds the part, or what stands beside its codes.
  bool HoldsPartOf(size_t file, const StoredTensor& part) const {
    const std::string stem = FullKey(prefix, StemOfKey(part.key));
    return checkpoint.Holds(file, FullKey(prefix, part.key)) ||
           std::ranges::any_of(
               kBesideCodes, [&](const char* name) { return checkpoint.Holds(file, stem + name); });
  }

  std::vector<std::filesystem::path> TowerFiles() const {
    std::vector<std::filesystem::path> holding;
    for (size_t file = 0; file < checkpoint.files().size(); ++file) {
      const auto in_file = [&](const StoredTensor& part) { return HoldsPartOf(file, part); };
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

  const StoredModule* ModuleNamed(const std::string& name) const {
    for (const auto& [key, module] : report.modules) {
      if (module.name == name) return &module;
    }
    return nullptr;
  }

  // nullopt: floats.
  std::optional<StoredLayer> StoredCodesOf(const LinearLayout& linear) const {
    std::vector<const StoredModule*> parts;
    for (const StoredTensor& part : linear.weights) {
      const auto found = report.modules.find(part.key);
      if (found != report.modules.end()) parts.push_back(&found->second);
    }
    if (parts.empty()) return std::nullopt;
    W8A8_CHECK(parts.size() == linear.weights.size());
    return StoredLayer(checkpoint, std::move(parts));
  }

  void ReadCodes(const StoredLayer& stored, bool site, LinearParameters* linear) const {
    linear->dtype = Dtype::kI8;
    WeightCodes codes = stored.Codes();
    if (site) {
      linear->codes = std::move(codes);
    } else {
      linear->values = codes.RealValues();
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
    : impl_(std::make_unique<Impl>(folder, config, prefix)) {
  // Nobody will ask for these, so that their values are checked now.
  for (const LinearLayout& linear : impl_->layout.linears) {
    if (linear.unread) EncoderWeights::Linear(linear.stem);
  }
  for (const VectorLayout& vector : impl_->layout.vectors) {
    if (vector.unread) EncoderWeights::Vector(vector.name, "");
  }
}
EncoderWeights::~EncoderWeights() = default;
EncoderWeights::EncoderWeights(EncoderWeights&&) noexcept = default;

LinearParameters EncoderWeights::Linear(const std::string& stem) const {
  const LinearLayout& layout = impl_->LinearOf(stem);
  LinearParameters linear;
  linear.n = layout.n;
  linear.k = layout.k;
  if (const std::optional<StoredLayer> stored = impl_->StoredCodesOf(layout)) {
    impl_->ReadCodes(*stored, layout.site, &linear);
  } else {
    linear.dtype = impl_->Get(layout.weights.front().key).dtype;
    for (const StoredTensor& part : layout.weights) Append(linear.values, impl_->Floats(part));
  }
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

std::optional<SitePlan> EncoderWeights::StoredSite(const std::string& site) const {
  const LinearLayout& layout = impl_->LinearOf(site);
  const std::optional<StoredLayer> stored = impl_->StoredCodesOf(layout);
  return stored && layout.site ? std::optional(stored->Plan()) : std::nullopt;
}

bool EncoderWeights::IsPacked(const std::string& site) const {
  const std::optional<StoredLayer> stored = impl_->StoredCodesOf(impl_->LinearOf(site));
  return stored && stored->IsPacked();
}

std::optional<std::vector<int64_t>> EncoderWeights::CodesShape(const std::string& module) const {
  const StoredModule* stored = impl_->ModuleNamed(module);
  if (stored == nullptr) return std::nullopt;
  return stored->packed ? std::vector{stored->rows, stored->inputs} : stored->codes->shape;
}

std::vector<float> EncoderWeights::RealValues(const std::string& module) const {
  const StoredModule* stored = impl_->ModuleNamed(module);
  W8A8_CHECK(stored != nullptr);
  return StoredLayer(impl_->checkpoint, {stored}).Codes().RealValues();
}

LinearSource EncoderWeights::Source(const std::string& stem) const {
  const LinearLayout& linear = impl_->LinearOf(stem);
  LinearSource source;
  for (const std::string& module : linear.alone) {
    source.stems.push_back(FullKey(impl_->prefix, module));
    source.rows.push_back(linear.n / std::ssize(linear.alone));
  }
  if (!linear.alone.empty()) {
    for (const auto* parts : {&linear.weights, &linear.biases}) {
      for (const StoredTensor& part : *parts) {
        source.stacks.push_back(FullKey(impl_->prefix, part.key));
      }
    }
    return source;
  }
  for (const StoredTensor& part : linear.weights) {
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

}  // namespace w8a8
