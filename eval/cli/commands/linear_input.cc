#include "eval/cli/commands/linear_input.h"

#include <algorithm>
#include <utility>

#include "eval/cli/commands/linear_scheme.h"
#include "eval/cli/usage_error.h"
#include "quant/bit_packing.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {
namespace {

using Shape = std::vector<int64_t>;

[[noreturn]] void FailTensor(const SafetensorsFile& file, const TensorView& tensor,
                             const std::string& wanted) {
  Fail("{}: '{}' is {} {}; linear takes {}.", file.path().string(), tensor.name, tensor.ShapeText(),
       DtypeName(tensor.dtype), wanted);
}

void CheckTensor(const SafetensorsFile& file, const TensorView& tensor, bool fits,
                 const std::string& wanted) {
  if (!fits) FailTensor(file, tensor, wanted);
}

// What the precision and the flavour do not use.
void RefuseUnused(const SafetensorsFile& file, const char* tensor, const std::string& reason) {
  if (file.Find(tensor) == nullptr) return;
  Fail("{}: '{}': {}. Leave it out of the file.", file.path().string(), tensor, reason);
}

bool IsFloat(const TensorView& weight) { return weight.dtype != Dtype::kI8; }

// Reads one file; what is read first is what the rest must fit.
class Reader {
 public:
  explicit Reader(const Options& options)
      : options_(options), flags_(options.linear), file_(options.in) {
    in_.plan = LinearPlan(options);
  }

  LinearInput Read() {
    ReadX();
    RefuseWhatNothingUses();
    packed_ = file_.Find("weight_packed");
    if (packed_ != nullptr) {
      ReadPacked();
    } else {
      ReadWeight();
    }
    ReadScale();
    ReadZeroPoints();
    ReadVectors();
    CheckFlagsFit(options_, in_.plan, in_.layer.k);
    in_.plan = Normalized(std::move(in_.plan), in_.layer.k);
    return std::move(in_);
  }

 private:
  bool fp16() const { return *options_.precision == Precision::kFp16; }
  // The flavours that know neither transforms nor zero points.
  bool peer() const { return LinearFlavour(options_) != FakeFlavour::kIdeal; }
  int64_t groups() const {
    const int64_t size = std::min(flags_.group_size.value_or(in_.layer.k), in_.layer.k);
    return (in_.layer.k + size - 1) / size;
  }
  WeightSpec& spec() { return *in_.plan.weight; }

  void ReadX();
  void RefuseWhatNothingUses() const;
  void ReadWeight();
  void ReadPacked();
  void ReadScale();
  void TakeScale(const TensorView& scale);
  Granularity ScaleKind(const TensorView& scale) const;
  void ReadZeroPoints();
  std::vector<int8_t> PackedZeroPoints(const TensorView& zero_point) const;
  void ReadVectors();

  const Options& options_;
  const LinearFlags& flags_;
  const SafetensorsFile file_;
  const TensorView* packed_ = nullptr;
  PackedLayout layout_ = PackedLayout::kDense;
  LinearInput in_;
};

void Reader::ReadX() {
  const TensorView& x = file_.Get("x");
  CheckTensor(file_, x, x.shape.size() == 2 && x.shape[0] >= 1 && x.shape[1] >= 1,
              "x F16 [M, K], both at least 1");
  in_.m = x.shape[0];
  in_.layer.k = x.shape[1];
  in_.x = HalfValues(x);
}

void Reader::RefuseWhatNothingUses() const {
  RefuseUnused(file_, "weight_g_idx", "columns that are ordered by group are not in this version");
  if (fp16()) {
    for (const char* tensor : {"smoothing", "weight_packed", "weight_shape", "weight_zero_point"}) {
      RefuseUnused(file_, tensor, "--precision fp16 does not use it");
    }
  } else if (peer()) {
    const std::string flavour = fmt::format("--fake {} does not use it", NameOf(options_.fake));
    for (const char* tensor : {"smoothing", "weight_zero_point"}) {
      RefuseUnused(file_, tensor, flavour);
    }
  }
  if (file_.Find("weight_packed") == nullptr) {
    RefuseUnused(file_, "weight_shape", "there is no 'weight_packed' whose shape it could be");
  } else {
    RefuseUnused(file_, "weight", "'weight_packed' stands in its place");
  }
}

void Reader::ReadWeight() {
  const TensorView& weight = file_.Get("weight");
  LinearParameters& layer = in_.layer;
  CheckTensor(file_, weight, weight.shape.size() == 2 && weight.shape[0] >= 1,
              "weight [N, K], N >= 1");
  layer.n = weight.shape[0];
  if (weight.shape[1] != layer.k) {
    Fail("{}: 'weight' is {}, but 'x' has {} columns; both share K.", file_.path().string(),
         weight.ShapeText(), layer.k);
  }
  layer.dtype = weight.dtype;
  if (IsFloat(weight)) {
    layer.values = FloatValues(weight);
    return CheckWeights(file_.path().string(), layer.view(), {});
  }
  layer.codes = WeightCodes{
      .n = layer.n, .k = layer.k, .bits = options_.weight_bits, .codes = Int8Values(weight)};
}

void Reader::ReadPacked() {
  const TensorView& shape = file_.Get("weight_shape");
  CheckTensor(file_, shape, shape.shape == Shape{2}, "weight_shape I64 [2]: N and K");
  const std::vector<int64_t> extents = Int64Values(shape);
  const std::vector<int32_t> words = Int32Values(*packed_);
  LinearParameters& layer = in_.layer;
  layer.n = extents[0];
  if (layer.n < 1 || extents[1] != layer.k || packed_->shape.size() != 2 ||
      packed_->shape[0] != layer.n) {
    Fail("{}: 'weight_packed' is {} and 'weight_shape' says [{}, {}], but 'x' has {} columns.",
         file_.path().string(), packed_->ShapeText(), extents[0], extents[1], layer.k);
  }
  if (!options_.weight_bits_given) {
    FailUsage("{}: 'weight_packed' does not say how many bits a code has; give --weight-bits B.",
              file_.path().string());
  }
  const std::string name = fmt::format("{}: 'weight_packed'", file_.path().string());
  const int64_t width = packed_->shape[1];
  layout_ = PackedLayoutOf(name, width, layer.k, options_.weight_bits);
  layer.codes = WeightCodes{.n = layer.n,
                            .k = layer.k,
                            .bits = options_.weight_bits,
                            .codes = UnpackRows(name, {words.data(), layer.n, width, width},
                                                layer.k, options_.weight_bits, layout_)};
}

// What the shape says, where the flags agree.
Granularity Reader::ScaleKind(const TensorView& scale) const {
  const int64_t n = in_.layer.n;
  const auto contradicts = [&](const std::string& flag) {
    FailUsage("{}: 'weight_scale' is {}, which {} contradicts.", file_.path().string(),
              scale.ShapeText(), flag);
  };
  const bool tensor_flag = flags_.weight_granularity == Granularity::kTensor;
  const Shape& shape = scale.shape;
  if (shape.size() == 2 && shape[0] == n && shape[1] > 1) {
    if (!flags_.group_size && fp16()) {
      FailTensor(file_, scale, "scales of tensors or output rows with --precision fp16");
    }
    if (!flags_.group_size) {
      FailUsage("{}: 'weight_scale' is {}; give the groups' size with --group-size G.",
                file_.path().string(), scale.ShapeText());
    }
    if (shape[1] == groups()) return Granularity::kGroup;
    contradicts(fmt::format("--group-size {} ({} groups)", *flags_.group_size, groups()));
  }
  const bool lone = shape == Shape{1};
  const bool rows = shape == Shape{n} || shape == Shape{n, 1};
  if (!lone && !rows) FailTensor(file_, scale, "weight_scale [1], [N], [N, 1] or [N, groups]");
  if (groups() > 1) contradicts(fmt::format("--group-size {}", *flags_.group_size));
  if (n == 1) return tensor_flag ? Granularity::kTensor : Granularity::kChannel;
  if (lone && flags_.group_size) contradicts("--group-size");
  if (lone && flags_.weight_granularity == Granularity::kChannel) {
    contradicts("--weight-granularity channel");
  }
  if (rows && tensor_flag) contradicts("--weight-granularity per-tensor");
  return lone ? Granularity::kTensor : Granularity::kChannel;
}

void Reader::TakeScale(const TensorView& scale) {
  const Granularity kind = ScaleKind(scale);
  const int64_t group_size = kind == Granularity::kGroup ? *flags_.group_size : 0;
  spec().granularity = kind;
  spec().group_size = group_size;
  Scales scales{.granularity = kind, .group_size = group_size, .values = FloatValues(scale)};
  if (in_.layer.codes) {
    in_.layer.codes->scale = std::move(scales);
  } else {
    in_.layer.scale = std::move(scales);
  }
}

void Reader::ReadScale() {
  const TensorView* scale = file_.Find("weight_scale");
  if (in_.layer.codes) {
    if (flags_.weight_convention == WeightConvention::kVllm) {
      FailUsage("--weight-convention vllm makes codes of float weights; {} holds codes.",
                file_.path().string());
    }
    return TakeScale(file_.Get("weight_scale"));
  }
  if (scale == nullptr) return;
  if (fp16()) RefuseUnused(file_, "weight_scale", "--precision fp16 takes 'weight' as it is");
  if (peer() && options_.fake == FakeFlavour::kLlmAwq) {
    RefuseUnused(file_, "weight_scale", "--fake llm-awq makes its own");
  }
  if (flags_.weight_convention == WeightConvention::kVllm) {
    FailUsage("--weight-convention vllm makes the scales; {} holds 'weight_scale'.",
              file_.path().string());
  }
  TakeScale(*scale);
}

std::vector<int8_t> Reader::PackedZeroPoints(const TensorView& zero_point) const {
  const std::string name = fmt::format("{}: 'weight_zero_point'", file_.path().string());
  CheckTensor(file_, zero_point, zero_point.shape.size() == 2 && zero_point.shape[1] == groups(),
              fmt::format("weight_zero_point I32 [words, {}] beside 'weight_packed'", groups()));
  const std::vector<int32_t> words = Int32Values(zero_point);
  const MatView<const int32_t> view{words.data(), zero_point.shape[0], groups(), groups()};
  return UnpackColumns(name, view, in_.layer.n, options_.weight_bits, layout_);
}

void Reader::ReadZeroPoints() {
  const TensorView* zero_point = file_.Find("weight_zero_point");
  if (zero_point == nullptr) return;
  if (!in_.layer.codes) RefuseUnused(file_, "weight_zero_point", "the weights are no codes");
  const TensorView& scale = file_.Get("weight_scale");
  if (spec().granularity == Granularity::kTensor) {
    Fail(
        "{}: 'weight_zero_point' beside one scale for the tensor; zero points go with scales of "
        "output rows or groups.",
        file_.path().string());
  }
  WeightCodes& codes = *in_.layer.codes;
  if (packed_ != nullptr) {
    codes.zero_points = PackedZeroPoints(*zero_point);
  } else {
    CheckTensor(
        file_, *zero_point, zero_point->shape == scale.shape,
        fmt::format("weight_zero_point I8 {}, the shape of weight_scale", scale.ShapeText()));
    codes.zero_points = Int8Values(*zero_point);
  }
  spec().symmetric = false;
}

void Reader::ReadVectors() {
  if (const TensorView* bias = file_.Find("bias")) {
    CheckTensor(file_, *bias, bias->shape == Shape{in_.layer.n}, "bias [N]");
    in_.layer.bias = FloatValues(*bias);
  }
  const TensorView* smoothing = file_.Find("smoothing");
  if (smoothing == nullptr) return;
  if (flags_.weight_convention == WeightConvention::kVllm) {
    FailUsage("--weight-convention vllm has no transform; {} holds 'smoothing'.",
              file_.path().string());
  }
  CheckTensor(file_, *smoothing,
              smoothing->dtype == Dtype::kF32 && smoothing->shape == Shape{in_.layer.k},
              "smoothing F32 [K]");
  in_.plan.smoothing = FloatValues(*smoothing);
  CheckSmoothing(in_.plan.smoothing, in_.layer.k,
                 fmt::format("{}: 'smoothing'", file_.path().string()));
}

}  // namespace

LinearInput ReadLinearInput(const Options& options) { return Reader(options).Read(); }

}  // namespace w8a8
