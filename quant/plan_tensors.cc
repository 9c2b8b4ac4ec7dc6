#include "quant/plan_tensors.h"

#include <algorithm>
#include <span>
#include <utility>

#include "quant/quantized_linear.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

// Of the scales and zero points of `weight`, as the file has them.
std::vector<int64_t> ScaleShape(const WeightCodes& weight) {
  if (weight.scale.granularity == Granularity::kTensor) return {1};
  if (weight.groups() == 1) return {weight.n};
  return {weight.n, weight.groups()};
}

[[noreturn]] void RefuseTensor(const std::string& place, const TensorView& tensor,
                               const std::string& expected) {
  Fail("{}: tensor '{}' is {} {}; expected {}.", place, tensor.name, DtypeName(tensor.dtype),
       tensor.ShapeText(), expected);
}

void RequireShape(const std::string& place, const TensorView& tensor, Dtype dtype,
                  const std::vector<int64_t>& shape) {
  if (tensor.dtype == dtype && tensor.shape == shape) return;
  const TensorView expected{"", dtype, shape, {}};
  RefuseTensor(place, tensor, fmt::format("{} {}", DtypeName(dtype), expected.ShapeText()));
}

void AddGiven(const std::string& site, const GivenWeights& given, SafetensorsWriter& writer) {
  const WeightCodes& weight = given.weight;
  const std::vector<int64_t> shape = ScaleShape(weight);
  writer.Add<int8_t>(site + ".codes", Dtype::kI8, {weight.n, weight.k}, weight.codes);
  writer.Add<float>(site + ".weight_scale", Dtype::kF32, shape, weight.scale.values);
  if (!weight.zero_points.empty()) {
    writer.Add<int8_t>(site + ".weight_zero_point", Dtype::kI8, shape, weight.zero_points);
  }
  if (given.bias) writer.Add<float>(site + ".bias", Dtype::kF32, {weight.n}, *given.bias);
}

}  // namespace

std::string PlanTensorBytes(const Plan& plan) {
  SafetensorsWriter writer;
  bool any = false;
  for (const auto& [site, site_plan] : plan.sites) {
    const std::vector<float>& smoothing = site_plan.smoothing;
    if (!smoothing.empty()) {
      writer.Add<float>(site + ".smoothing", Dtype::kF32, {static_cast<int64_t>(smoothing.size())},
                        smoothing);
    }
    if (site_plan.given.value) AddGiven(site, *site_plan.given.value, writer);
    any = any || !smoothing.empty() || site_plan.given.value;
  }
  return any ? writer.Bytes() : "";
}

bool HoldsPlanTensors(const std::filesystem::path& path) {
  try {
    const SafetensorsFile file(path);
    const auto is_of_plan = [&file](const auto& tensor) {
      const std::string& name = tensor.first;
      const size_t dot = name.rfind('.');
      const std::string site = name.substr(0, dot);
      const std::string part = dot == name.npos ? "" : name.substr(dot + 1);
      if (part == "smoothing" || part == "codes") return true;
      const bool of_codes = part == "weight_scale" || part == "weight_zero_point" || part == "bias";
      return of_codes && file.Find(site + ".codes") != nullptr;
    };
    return file.metadata().empty() && std::ranges::all_of(file.tensors(), is_of_plan);
  } catch (const Error&) {
    return false;  // what cannot be read is none
  }
}

PlanTensors::PlanTensors(const std::filesystem::path& path, const std::string& sha256)
    : file_(path) {
  const std::string actual = Sha256HexOfFile(path);
  if (actual == sha256) return;
  Fail(
      "{}: its sha256 is {}, but the plan names {}. It belongs to another plan, or one of the two "
      "was changed; write both again.",
      path.string(), actual, sha256.substr(0, 64));
}

const TensorView& PlanTensors::Get(const std::string& place, const std::string& name) {
  const TensorView* tensor = file_.Find(name);
  if (tensor == nullptr) {
    Fail("{}: tensor '{}' is missing in {}.", place, name, file_.path().string());
  }
  used_.insert(name);
  return *tensor;
}

std::vector<float> PlanTensors::Floats(const std::string& place, const std::string& name,
                                       const std::vector<int64_t>& shape) {
  const TensorView& tensor = Get(place, name);
  RequireShape(place, tensor, Dtype::kF32, shape);
  return FloatValues(tensor);
}

std::vector<float> PlanTensors::Smoothing(const std::string& place, const std::string& site,
                                          int64_t k) {
  const std::string name = site + ".smoothing";
  const TensorView& tensor = Get(place, name);
  if (tensor.shape.size() != 1 || tensor.shape[0] < 1) {
    RefuseTensor(place, tensor, "F32 of one dimension, with a value for each input");
  }
  return Floats(place, name, {k > 0 ? k : tensor.shape[0]});
}

GivenWeights PlanTensors::Given(const std::string& place, const std::string& site,
                                const WeightSpec& spec, int64_t n, int64_t k) {
  const TensorView& codes = Get(place, site + ".codes");
  if (codes.shape.size() != 2) RefuseTensor(place, codes, "I8 of two dimensions");
  RequireShape(place, codes, Dtype::kI8, {n > 0 ? n : codes.shape[0], k > 0 ? k : codes.shape[1]});
  WeightCodes weight{.n = codes.shape[0],
                     .k = codes.shape[1],
                     .bits = spec.num_bits,
                     .codes = Int8Values(codes),
                     .scale = {.granularity = spec.granularity, .group_size = spec.group_size}};
  if (weight.n < 1 || weight.k < 1) RefuseTensor(place, codes, "at least one row and column");
  const std::vector<int64_t> shape = ScaleShape(weight);
  weight.scale.values = Floats(place, site + ".weight_scale", shape);
  if (!spec.symmetric) {
    const TensorView& points = Get(place, site + ".weight_zero_point");
    RequireShape(place, points, Dtype::kI8, shape);
    weight.zero_points = Int8Values(points);
  }
  FinishCodes(place, weight);
  GivenWeights given{.weight = std::move(weight)};
  if (file_.Find(site + ".bias") != nullptr) {
    given.bias = Floats(place, site + ".bias", {given.weight.n});
    CheckBias(place, *given.bias, given.weight.n);
  }
  return given;
}

void PlanTensors::RefuseStray() const {
  for (const auto& [name, tensor] : file_.tensors()) {
    if (used_.contains(name)) continue;
    Fail(
        "{}: tensor '{}' belongs to nothing in the plan. Remove it, or say in the plan what it is.",
        file_.path().string(), name);
  }
}

}  // namespace w8a8
