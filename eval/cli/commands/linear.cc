#include "eval/cli/commands/linear.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "eval/cli/error_text.h"
#include "eval/cli/usage_error.h"
#include "eval/job/output_folder.h"
#include "quant/fake_quant.h"
#include "quant/reference_quantizer.h"
#include "quant/row_scales.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/standard_streams.h"
#include "runtime/cpu/emulated_linear.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/cuda_backend.h"
#include "runtime/prepare.h"

namespace w8a8 {
namespace {

struct LayerInput {
  int64_t m = 0;
  std::vector<Half> x;     // [m, k]
  LinearParameters layer;  // of n x k weights

  MatView<const Half> x_view() const { return {x.data(), m, layer.k, layer.k}; }
};

// What is written; empty members are left out.
struct LayerOutput {
  std::vector<int8_t> codes, weight_codes;
  std::vector<float> input_scale, weight_scale;
  std::vector<int32_t> code_sum, acc;
  std::vector<Half> y;
  std::optional<QuantizeCounts> counts;

  explicit LayerOutput(const LayerInput& in) : y(static_cast<size_t>(in.m * in.layer.n)) {}
  // Takes what a quantized layer's weights are, and makes room for what its quantizer leaves.
  LayerOutput(const LayerInput& in, const WeightCodes& weight) : LayerOutput(in) {
    weight_codes = weight.codes;
    weight_scale = weight.scale.values;
    codes.resize(in.x.size());
    input_scale.resize(static_cast<size_t>(in.m));
    code_sum.resize(static_cast<size_t>(in.m));
  }
  void SumCodes() {
    const size_t k = codes.size() / code_sum.size();
    for (size_t row = 0; row < code_sum.size(); ++row) {
      const auto first = codes.begin() + static_cast<int64_t>(row * k);
      code_sum[row] = std::accumulate(first, first + static_cast<int64_t>(k), int32_t{0});
    }
  }
};

void CheckShape(const SafetensorsFile& file, const TensorView& tensor, bool fits,
                const char* wanted) {
  if (fits) return;
  Fail("{}: '{}' is {}; linear takes {}.", file.path().string(), tensor.name, tensor.ShapeText(),
       wanted);
}

void ReadWeight(const SafetensorsFile& file, LinearParameters* layer) {
  const TensorView& weight = file.Get("weight");
  CheckShape(file, weight, weight.shape.size() == 2 && weight.shape[0] >= 1,
             "weight [N, K], N >= 1");
  layer->n = weight.shape[0];
  if (weight.shape[1] != layer->k) {
    Fail("{}: 'weight' is {}, but 'x' has {} columns; both share K.", file.path().string(),
         weight.ShapeText(), layer->k);
  }
  if (weight.dtype != Dtype::kI8) {
    layer->dtype = weight.dtype;
    layer->values = FloatValues(weight);
    return;
  }
  layer->codes = WeightCodes{.n = layer->n, .k = layer->k, .codes = Int8Values(weight)};
  const TensorView& scale = file.Get("weight_scale");
  const bool column = scale.shape.size() == 2 && scale.shape[1] == 1;
  CheckShape(file, scale, (scale.shape.size() == 1 || column) && scale.shape[0] == layer->n,
             "weight_scale F32 [N] or [N, 1]");
  if (scale.dtype != Dtype::kF32) {
    Fail("{}: 'weight_scale' is {}; linear takes F32.", file.path().string(),
         DtypeName(scale.dtype));
  }
  layer->codes->scale.values = FloatValues(scale);
}

LayerInput ReadInput(const std::string& path) {
  const SafetensorsFile file(path);
  LayerInput in;
  const TensorView& x = file.Get("x");
  CheckShape(file, x, x.shape.size() == 2 && x.shape[0] >= 1 && x.shape[1] >= 1,
             "x [M, K], both at least 1");
  in.m = x.shape[0];
  in.layer.k = x.shape[1];
  in.x = HalfValues(x);
  ReadWeight(file, &in.layer);
  if (const TensorView* bias = file.Find("bias")) {
    CheckShape(file, *bias, bias->shape.size() == 1 && bias->shape[0] == in.layer.n, "bias [N]");
    in.layer.bias = FloatValues(*bias);
  }
  return in;
}

void CheckLinearFlags(const Options& options) {
  if (options.in.empty()) FailUsage("linear needs --in FILE.");
  if (options.out.empty()) FailUsage("linear needs --out FILE.");
  if (!options.precision) FailUsage("linear needs --precision fp16, fake, emulated or int8.");
  const bool per_tensor = options.granularity == Granularity::kTensor;
  if (per_tensor && !options.input_scale) {
    FailUsage("--granularity per-tensor needs --input-scale S: linear calibrates nothing.");
  }
  if (options.input_scale && options.granularity == Granularity::kToken) {
    FailUsage("--input-scale is a per-tensor scale; it excludes --granularity per-token.");
  }
  if (options.input_scale && options.clip_range) {
    FailUsage("--input-scale excludes --clip-range: a static scale is min(abs-max, R) / 127.");
  }
  if (*options.precision == Precision::kFp16 &&
      (options.granularity || options.clip_range || options.input_scale)) {
    FailUsage(
        "linear --precision fp16: nothing is quantized; leave --granularity, --clip-range and "
        "--input-scale out.");
  }
  if (options.fake_given && *options.precision != Precision::kFake) {
    FailUsage("--fake: only --precision fake has flavours.");
  }
  if (options.weight_bits != 8 && *options.precision != Precision::kFake) {
    FailUsage("--weight-bits {}: --precision {} has 8-bit weights; only fake takes other widths.",
              options.weight_bits, NameOf(*options.precision));
  }
  if (IsVllmStatic(options.fake) && *options.precision == Precision::kFake &&
      !options.input_scale) {
    FailUsage("--fake {} is per-tensor; it needs --input-scale.", NameOf(options.fake));
  }
}

// What --granularity, --clip-range, --input-scale and --weight-bits make of the layer.
SitePlan PlanOf(const Options& options) {
  const WeightSpec weight{.num_bits = options.weight_bits};
  if (!options.input_scale) {
    return {.input = Quantizer{.clip_range = options.clip_range.value_or(kNoClip)},
            .weight = weight};
  }
  const float scale = *options.input_scale;
  if (!(scale > 0.0f && std::isfinite(scale) && std::isfinite(1.0f / scale))) {
    FailUsage("--input-scale {}: it and its reciprocal must be finite and > 0.", scale);
  }
  return {.input = Quantizer::Static(scale), .weight = weight};
}

// fp16 and emulated layers run here too, but only the INT8 kernels depend on the set.
const Kernels& KernelsOf(const Options& options) {
  if (options.device.rfind("cuda", 0) == 0) {
    const std::string reason = CudaUnavailableReason();
    if (!reason.empty()) Fail("--device {}: {}", options.device, reason);
    Fail("--device {}: linear runs on the CPU only. Use --device cpu.", options.device);
  }
  const Kernels& kernels = Select(options.kernels);
  if (options.device == "auto" && !options.quiet) {
    Tell("device     cpu ({})\n", kernels.name);
  }
  return kernels;
}

// y = x * weight^T + bias in binary32, one rounding.
void FloatLayer(const LayerInput& in, MatView<const float> x, std::span<const float> weight,
                std::span<const float> bias, LayerOutput* out) {
  const int64_t n = in.layer.n, k = in.layer.k;
  std::vector<float> product(static_cast<size_t>(in.m * n));
  FloatGemm().MultiplyTransposed(x, {weight.data(), n, k, k}, {product.data(), in.m, n, n});
  for (size_t i = 0; i < product.size(); ++i) {
    const float b = bias.empty() ? 0.0f : bias[i % static_cast<size_t>(n)];
    out->y[i] = ToHalf(product[i] + b);
  }
}

LayerOutput RunFp16(const LayerInput& in) {
  LayerOutput out(in);
  std::vector<float> x(in.x.size());
  ToFloat(in.x, x);
  FloatLayer(in, {x.data(), in.m, in.layer.k, in.layer.k}, Fp16Weights("weight", in.layer),
             in.layer.bias, &out);
  return out;
}

LayerOutput RunFake(const LayerInput& in, const PreparedLinear& prepared, const Quantizer& input,
                    FakeFlavour flavour) {
  CheckFakeQuantizer(input, flavour, "x");
  LayerOutput out(in, prepared.layer.weight);
  std::vector<float> x(in.x.size());
  const MatView<float> values{x.data(), in.m, in.layer.k, in.layer.k};
  ReferenceRows rows = QuantizeDequantizeRows(in.x_view(), {.quantizer = input}, flavour, values);
  out.codes = std::move(rows.codes);
  out.input_scale = std::move(rows.scales.values);
  out.counts = rows.counts;
  out.SumCodes();
  FloatLayer(in, values, prepared.FloatOperand(), prepared.layer.bias, &out);
  return out;
}

LayerOutput RunEmulated(const LayerInput& in, const QuantizedLinear& layer,
                        const Quantizer& input) {
  LayerOutput out(in, layer.weight);
  const EmulatedLinear emulated(layer, layer.weight.k, [](MatView<const float> weight) {
    return std::make_shared<const FloatWeights>(weight);
  });
  FloatGemm gemm;
  EmulatedScratch scratch;
  const int64_t n = in.layer.n;
  emulated.Run(
      in.x_view(), {.quantizer = input},
      [&gemm](MatView<const float> a, const PackedWeights& weight, MatView<float> c) {
        gemm.MultiplyTransposed(a, PackedAs<FloatWeights>(weight).view(), c);
      },
      MatView<Half>{out.y.data(), in.m, n, n}, &scratch);
  out.counts = scratch.rows.counts;
  out.codes = scratch.rows.codes;
  out.input_scale = scratch.rows.scales.values;
  out.acc.assign(scratch.acc.data(), scratch.acc.data() + in.m * n);
  out.SumCodes();
  return out;
}

LayerOutput RunInt8(const LayerInput& in, const QuantizedLinear& layer, const Quantizer& input,
                    const Int8Kernels& kernels) {
  LayerOutput out(in, layer.weight);
  const int64_t n = in.layer.n, k = in.layer.k;
  out.acc.resize(static_cast<size_t>(in.m * n));
  CodeRows rows;
  QuantizeRows(kernels, in.x_view(), {.quantizer = input}, &rows, &out.counts.emplace());
  std::copy_n(rows.code_sum.data(), in.m, out.code_sum.begin());
  UnpackCodes(kernels, rows, {out.codes.data(), in.m, k, k});
  std::copy_n(rows.scale.data(), in.m, out.input_scale.begin());
  Int8Linear(layer, layer.weight.k, kernels)
      .Multiply(rows, MatView<Half>{out.y.data(), in.m, n, n}, {out.acc.data(), in.m, n, n});
  return out;
}

LayerOutput RunLayer(const LayerInput& in, const SitePlan& plan, const Options& options,
                     const Kernels& kernels) {
  const Precision precision = *options.precision;
  const bool fake = precision == Precision::kFake;
  const PreparedLinear prepared =
      Prepare("weight", in.layer, plan, fake ? options.fake : FakeFlavour::kIdeal);
  switch (precision) {
    case Precision::kFp16:
      return RunFp16(in);
    case Precision::kFake:
      return RunFake(in, prepared, *plan.input, options.fake);
    case Precision::kEmulated:
      return RunEmulated(in, prepared.layer, *plan.input);
    case Precision::kInt8:
      return RunInt8(in, prepared.layer, *plan.input, *kernels.int8);
  }
  W8A8_CHECK(!"a Precision outside its enumeration");
  return LayerOutput(in);
}

void WriteOutput(const LayerInput& in, const LayerOutput& out, const std::string& path) {
  const int64_t n = in.layer.n, k = in.layer.k;
  SafetensorsWriter writer;
  const auto add = [&writer](const char* name, Dtype dtype, std::vector<int64_t> shape,
                             const auto& values) {
    if (!values.empty()) writer.Add(name, dtype, std::move(shape), std::span(values));
  };
  add("codes", Dtype::kI8, {in.m, k}, out.codes);
  add("input_scale", Dtype::kF32, {static_cast<int64_t>(out.input_scale.size())}, out.input_scale);
  add("code_sum", Dtype::kI32, {in.m}, out.code_sum);
  add("weight_codes", Dtype::kI8, {n, k}, out.weight_codes);
  add("weight_scale", Dtype::kF32, {n}, out.weight_scale);
  add("acc", Dtype::kI32, {in.m, n}, out.acc);
  add("y", Dtype::kF16, {in.m, n}, out.y);
  std::vector<uint64_t> counts;
  if (out.counts) counts = {out.counts->nan, out.counts->inf, out.counts->saturated};
  add("counts", Dtype::kU64, {3}, counts);
  writer.Write(path);
}

}  // namespace

int RunLinear(const Options& options) {
  CheckLinearFlags(options);
  const SitePlan plan = PlanOf(options);
  CheckQuantizer(*plan.input, "x");
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const Kernels& kernels = KernelsOf(options);
  const LayerInput in = ReadInput(options.in);
  LayerOutput out = RunLayer(in, plan, options, kernels);
  if (plan.input->is_static() && !out.input_scale.empty()) out.input_scale.resize(1);
  WriteOutput(in, out, options.out);
  return 0;
}

}  // namespace w8a8
