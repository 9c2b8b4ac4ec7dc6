#include "runtime/encoder/stored_layer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quant/bit_packing.h"
#include "runtime/base/error.h"
#include "runtime/encoder/checked_values.h"

namespace w8a8 {
namespace {

// compressed-tensors writes the same parameter of a module for inputs and outputs.
using Member = const TensorView* StoredModule::*;

std::vector<float> ScalesIn(const Checkpoint& checkpoint, const TensorView& tensor) {
  std::vector<float> scales = FloatValues(tensor);
  RequireFinite(checkpoint.WhereIs(tensor), scales);
  RequirePositive(checkpoint.WhereIs(tensor), scales);
  return scales;
}

// A static scale of inputs or outputs.
float StaticScale(const Checkpoint& checkpoint, const StoredModule& part,
                  const TensorView& tensor) {
  const std::vector<float> scale = FloatValues(tensor);
  const bool uncalibrated = part.output_scale != nullptr && part.input_scale != nullptr &&
                            part.scheme.input->symmetric && scale.front() == 0.0f;
  return uncalibrated ? 0.0f : ScalesIn(checkpoint, tensor).front();
}

// Of all parts, the first one's, which the others must share; `what` names it in words.
template <class Read>
auto SharedValue(const Checkpoint& checkpoint, const std::vector<const StoredModule*>& parts,
                 Member member, const char* what, const Read& read) {
  const TensorView& first = *(parts.front()->*member);
  const auto shared = read(*parts.front(), first);
  for (const StoredModule* part : parts) {
    const TensorView& tensor = *(part->*member);
    const auto value = read(*part, tensor);
    if (value == shared) continue;
    // Codes made with different scales could not share a product.
    Fail(
        "{} holds {} where '{}' holds {}; they are parts of one layer and must be equal. Quantize "
        "the model again, with one {} for the layer.",
        checkpoint.WhereIs(tensor), value, first.name, shared, what);
  }
  return shared;
}

std::vector<int8_t> Unpacked(const Checkpoint& checkpoint, const StoredModule& part) {
  const TensorView& tensor = *part.codes;
  const int bits = part.scheme.weight.num_bits;
  const std::vector<int32_t> words = Int32Values(tensor);
  ReleasePages(tensor.bytes);
  const int64_t width = tensor.shape[1];
  const std::string name = checkpoint.WhereIs(tensor);
  return UnpackRows(name, {words.data(), part.rows, width, width}, part.inputs, bits,
                    PackedLayoutOf(name, width, part.inputs, bits));
}

void RequireWithinBits(const std::string& tensor, std::span<const int8_t> codes, int bits) {
  if (bits == kMaxWeightBits) return;  // every int8 is a code
  const int32_t highest = MaxCode(bits), lowest = -highest - 1;
  const auto beyond =
      std::ranges::find_if(codes, [&](int8_t code) { return code < lowest || code > highest; });
  if (beyond == codes.end()) return;
  Fail("{} holds {} at element {}; {} bits hold {} to {}.", tensor, *beyond, beyond - codes.begin(),
       bits, lowest, highest);
}

std::vector<int8_t> CodesOf(const Checkpoint& checkpoint, const StoredModule& part) {
  if (part.packed) return Unpacked(checkpoint, part);
  std::vector<int8_t> codes = Int8Values(*part.codes);
  ReleasePages(part.codes->bytes);
  RequireWithinBits(checkpoint.WhereIs(*part.codes), codes, part.scheme.weight.num_bits);
  return codes;
}

// As many as the part has scales.
std::vector<int8_t> ZeroPointsOf(const Checkpoint& checkpoint, const StoredModule& part) {
  const TensorView& tensor = *part.zero_point;
  const std::string name = checkpoint.WhereIs(tensor);
  const int bits = part.scheme.weight.num_bits;
  if (!part.packed) {
    std::vector<int8_t> points = Int8Values(tensor);
    RequireWithinBits(name, points, bits);
    return points;
  }
  const std::vector<int32_t> words = Int32Values(tensor);
  const int64_t columns = tensor.shape[1];
  const PackedLayout layout =
      PackedLayoutOf(part.codes->name, part.codes->shape[1], part.inputs, bits);
  return UnpackColumns(name, {words.data(), tensor.shape[0], columns, columns}, part.rows, bits,
                       layout);
}

// A lone value for each of the rows.
template <class T>
void AppendRows(std::vector<T>& to, std::vector<T> values, int64_t rows) {
  if (values.size() == 1) values.resize(static_cast<size_t>(rows), values.front());
  to.insert(to.end(), values.begin(), values.end());
}

// Parts with a scale for each row and with one for all rows go together.
ModuleScheme ByRows(ModuleScheme scheme) {
  Granularity& granularity = scheme.weight.granularity;
  if (granularity == Granularity::kTensor) granularity = Granularity::kChannel;
  return scheme;
}

}  // namespace

StoredLayer::StoredLayer(const Checkpoint& checkpoint, std::vector<const StoredModule*> parts)
    : checkpoint_(checkpoint), parts_(std::move(parts)) {
  RequireAlike();
}

void StoredLayer::RequireAlike() const {
  const StoredModule& first = *parts_.front();
  for (const StoredModule* part : parts_) {
    if (ByRows(part->scheme) == ByRows(first.scheme)) continue;
    Fail(
        "{}: '{}' is stored as {}, but '{}' as {}; they are parts of one layer and must be "
        "quantized alike.",
        checkpoint_.folder().string(), part->codes->name, SchemeText(part->scheme),
        first.codes->name, SchemeText(first.scheme));
  }
}

Scales StoredLayer::WeightScales(std::vector<int8_t>* zero_points) const {
  const WeightSpec& spec = parts_.front()->scheme.weight;
  Scales scales{.granularity = ByRows(parts_.front()->scheme).weight.granularity,
                .group_size = spec.group_size};
  std::vector<float> lone;
  for (const StoredModule* part : parts_) {
    std::vector<float> values = ScalesIn(checkpoint_, *part->scale);
    if (values.size() == 1 && part->rows > 1) lone.push_back(values.front());
    AppendRows(scales.values, std::move(values), part->rows);
    if (part->zero_point == nullptr) continue;
    AppendRows(*zero_points, ZeroPointsOf(checkpoint_, *part), part->rows);
  }
  const bool one =
      lone.size() == parts_.size() && std::ranges::count(lone, lone.front()) == std::ssize(lone);
  if (one && zero_points->empty()) {
    scales.granularity = Granularity::kTensor;
    scales.values = {lone.front()};
  }
  return scales;
}

WeightCodes StoredLayer::Codes() const {
  WeightCodes codes{.k = parts_.front()->inputs, .bits = parts_.front()->scheme.weight.num_bits};
  codes.scale = WeightScales(&codes.zero_points);
  for (const StoredModule* part : parts_) {
    codes.n += part->rows;
    const std::vector<int8_t> rows = CodesOf(checkpoint_, *part);
    codes.codes.insert(codes.codes.end(), rows.begin(), rows.end());
  }
  return codes;
}

bool StoredLayer::IsPacked() const {
  return std::ranges::any_of(parts_, [](const StoredModule* part) { return part->packed; });
}

SitePlan StoredLayer::Plan() const {
  const ModuleScheme& scheme = parts_.front()->scheme;
  SitePlan plan{.input = scheme.input, .weight = scheme.weight};
  std::vector<int8_t> zero_points;
  const Scales scales = WeightScales(&zero_points);
  plan.weight->granularity = scales.granularity;
  plan.weight->group_size = scales.group_size;
  const auto scale_of = [this](const StoredModule& part, const TensorView& tensor) {
    return StaticScale(checkpoint_, part, tensor);
  };
  if (plan.input && plan.input->is_static()) {
    plan.input->scale =
        SharedValue(checkpoint_, parts_, &StoredModule::input_scale, "input scale", scale_of);
    if (!plan.input->symmetric) {
      plan.input->zero_point =
          SharedValue(checkpoint_, parts_, &StoredModule::input_zero_point, "input zero point",
                      [](const StoredModule&, const TensorView& tensor) {
                        return int32_t{Int8Values(tensor).front()};
                      });
    }
  }
  if (scheme.output) {
    plan.output = Quantizer::Static(
        SharedValue(checkpoint_, parts_, &StoredModule::output_scale, "output scale", scale_of));
  }
  return plan;
}

}  // namespace w8a8
