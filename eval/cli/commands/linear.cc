#include "eval/cli/commands/linear.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>
#include <vector>

#include "quant/fake_quant.h"
#include "quant/quantized_linear.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/cpu/emulated_linear.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {
namespace {

struct LayerInput {
  int64_t m = 0, n = 0, k = 0;
  std::vector<Half> x;
  std::vector<float> weight;        // [n, k], or empty with codes
  std::vector<int8_t> codes;        // [n, k]
  std::vector<float> weight_scale;  // [n] with codes
  std::vector<float> bias;          // [n] or empty

  MatView<const Half> x_view() const { return {x.data(), m, k, k}; }
  MatView<const float> weight_view() const { return {weight.data(), n, k, k}; }
};

// What is written; empty members are left out.
struct LayerOutput {
  std::vector<int8_t> codes, weight_codes;
  std::vector<float> input_scale, weight_scale;
  std::vector<int32_t> code_sum, acc;
  std::vector<Half> y;
  std::optional<QuantizeCounts> counts;

  explicit LayerOutput(const LayerInput& in) : y(static_cast<size_t>(in.m * in.n)) {}
  // Room for what a quantizer leaves.
  void ResizeRows(const LayerInput& in) {
    codes.resize(static_cast<size_t>(in.m * in.k));
    input_scale.resize(static_cast<size_t>(in.m));
    code_sum.resize(static_cast<size_t>(in.m));
  }
};

void CheckShape(const TensorView& tensor, bool fits, const char* wanted) {
  if (!fits) Fail("'{}' is {}; linear takes {}.", tensor.name, tensor.ShapeText(), wanted);
}

void ReadWeight(const SafetensorsFile& file, LayerInput* in) {
  const TensorView& weight = file.Get("weight");
  CheckShape(weight, weight.shape.size() == 2 && weight.shape[0] >= 1, "weight [N, K], N >= 1");
  in->n = weight.shape[0];
  if (weight.shape[1] != in->k) {
    Fail("'weight' is {}, but 'x' has {} columns; both share K.", weight.ShapeText(), in->k);
  }
  if (weight.dtype != Dtype::kI8) {
    in->weight = FloatValues(weight);
    return;
  }
  in->codes = Int8Values(weight);
  const TensorView& scale = file.Get("weight_scale");
  const bool column = scale.shape.size() == 2 && scale.shape[1] == 1;
  CheckShape(scale, (scale.shape.size() == 1 || column) && scale.shape[0] == in->n,
             "weight_scale F32 [N] or [N, 1]");
  if (scale.dtype != Dtype::kF32) {
    Fail("'weight_scale' is {}; linear takes F32.", DtypeName(scale.dtype));
  }
  in->weight_scale = FloatValues(scale);
}

LayerInput ReadInput(const std::string& path) {
  const SafetensorsFile file(path);
  LayerInput in;
  const TensorView& x = file.Get("x");
  CheckShape(x, x.shape.size() == 2 && x.shape[0] >= 1 && x.shape[1] >= 1,
             "x [M, K], both at least 1");
  in.m = x.shape[0];
  in.k = x.shape[1];
  in.x = HalfValues(x);
  ReadWeight(file, &in);
  if (const TensorView* bias = file.Find("bias")) {
    CheckShape(*bias, bias->shape.size() == 1 && bias->shape[0] == in.n, "bias [N]");
    in.bias = FloatValues(*bias);
  }
  return in;
}

void CheckLinearFlags(const Options& options) {
  if (options.in.empty()) FailUsage("linear needs --in FILE.");
  if (options.out.empty()) FailUsage("linear needs --out FILE.");
  if (!options.precision) FailUsage("linear needs --precision fp16, fake, emulated or int8.");
  if (!options.plan.empty()) FailUsage("linear takes no --plan; its layer has no site.");
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
  if (options.weight_bits != 8 && *options.precision != Precision::kFake) {
    FailUsage("--weight-bits {}: --precision {} has 8-bit weights; only fake takes other widths.",
              options.weight_bits, PrecisionName(*options.precision));
  }
  if (options.fake == FakeFlavour::kVllmStatic && *options.precision == Precision::kFake &&
      !options.input_scale) {
    FailUsage("--fake vllm-static is per-tensor; it needs --input-scale.");
  }
}

Quantizer SpecOf(const Options& options) {
  if (!options.input_scale) {
    return {.granularity = Granularity::kToken, .clip_range = options.clip_range.value_or(kNoClip)};
  }
  const float scale = *options.input_scale;
  if (!(scale > 0.0f && std::isfinite(scale) && std::isfinite(1.0f / scale))) {
    FailUsage("--input-scale {}: it and its reciprocal must be finite and > 0.", scale);
  }
  return {.granularity = Granularity::kTensor, .scale = scale};
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
    std::fprintf(stderr, "device     cpu (%s)\n", std::string(kernels.name).c_str());
  }
  return kernels;
}

QuantizedLinear QuantizeLayer(const LayerInput& in) {
  if (in.codes.empty()) return QuantizedLinear::FromLinear("weight", in.weight_view(), in.bias);
  return QuantizedLinear::FromCodes("weight", in.n, in.k, in.codes, in.weight_scale, in.bias);
}

void KeepWeights(const QuantizedLinear& linear, LayerOutput* out) {
  out->weight_codes = linear.weight_codes;
  out->weight_scale = linear.weight_scale;
}

// y = x * values^T + bias in binary32, one rounding.
void FloatLayer(const LayerInput& in, MatView<const float> x, std::span<const float> weight,
                LayerOutput* out) {
  std::vector<float> product(static_cast<size_t>(in.m * in.n));
  FloatGemm().MultiplyTransposed(x, {weight.data(), in.n, in.k, in.k},
                                 {product.data(), in.m, in.n, in.n});
  for (size_t i = 0; i < product.size(); ++i) {
    const float bias = in.bias.empty() ? 0.0f : in.bias[i % static_cast<size_t>(in.n)];
    out->y[i] = ToHalf(product[i] + bias);
  }
}

LayerOutput RunFp16(const LayerInput& in) {
  LayerOutput out(in);
  const QuantizedLinear checked = QuantizeLayer(in);  // for its checks of weight and bias
  std::vector<float> weight = in.weight;
  for (size_t i = 0; i < in.codes.size(); ++i) {
    weight.push_back(static_cast<float>(in.codes[i]) *
                     checked.weight_scale[i / static_cast<size_t>(in.k)]);
  }
  for (float& value : weight) value = ToFloat(ToHalf(value));
  std::vector<float> x(in.x.size());
  ToFloat(in.x, x);
  FloatLayer(in, {x.data(), in.m, in.k, in.k}, weight, &out);
  return out;
}

LayerOutput RunFake(const LayerInput& in, const Quantizer& spec, const Options& options) {
  LayerOutput out(in);
  CheckFakeSpec(spec, options.fake, "x");
  QuantizeLayer(in);  // for its checks of weight and bias
  const FakeWeights weights =
      in.codes.empty()
          ? FakeQuantizeWeights("weight", in.weight_view(), {.num_bits = options.weight_bits},
                                options.fake)
          : FakeWeightsFromCodes("weight", in.n, in.k, in.codes, in.weight_scale, options.fake);
  out.weight_codes = weights.codes;
  out.weight_scale = weights.scale;
  out.ResizeRows(in);
  out.counts.emplace();
  std::vector<float> x(in.x.size());
  QuantizeDequantizeRows(in.x_view(), spec, options.fake, {x.data(), in.m, in.k, in.k},
                         {out.codes.data(), out.input_scale.data(), &*out.counts});
  for (int64_t r = 0; r < in.m; ++r) {
    const auto row = out.codes.begin() + r * in.k;
    out.code_sum[static_cast<size_t>(r)] = std::accumulate(row, row + in.k, int32_t{0});
  }
  FloatLayer(in, {x.data(), in.m, in.k, in.k}, weights.values, &out);
  return out;
}

LayerOutput RunEmulated(const LayerInput& in, const Quantizer& spec) {
  LayerOutput out(in);
  const QuantizedLinear linear = QuantizeLayer(in);
  KeepWeights(linear, &out);
  out.ResizeRows(in);
  const EmulatedLinear emulated(linear, [](MatView<const float> weight) {
    return std::make_shared<const FloatWeights>(weight);
  });
  FloatGemm gemm;
  EmulatedScratch scratch;
  emulated.Run(
      in.x_view(), spec,
      [&gemm](MatView<const float> a, const PackedWeights& weight, MatView<float> c) {
        gemm.MultiplyTransposed(a, static_cast<const FloatWeights&>(weight).view(), c);
      },
      MatView<Half>{out.y.data(), in.m, in.n, in.n}, &scratch);
  std::copy_n(scratch.codes.data(), out.codes.size(), out.codes.begin());
  std::copy_n(scratch.scale.data(), in.m, out.input_scale.begin());
  out.acc.assign(scratch.acc.data(), scratch.acc.data() + in.m * in.n);
  out.counts = scratch.counts;
  for (int64_t r = 0; r < in.m; ++r) {
    const auto row = out.codes.begin() + r * in.k;
    out.code_sum[static_cast<size_t>(r)] = std::accumulate(row, row + in.k, int32_t{0});
  }
  return out;
}

LayerOutput RunInt8(const LayerInput& in, const Quantizer& spec, const Kernels& kernels) {
  LayerOutput out(in);
  const QuantizedLinear linear = QuantizeLayer(in);
  KeepWeights(linear, &out);
  out.ResizeRows(in);
  out.acc.resize(static_cast<size_t>(in.m * in.n));
  CodeRows rows;
  QuantizeRows(kernels, in.x_view(), spec, &rows, out.code_sum.data());
  UnpackCodes(kernels, rows, {out.codes.data(), in.m, in.k, in.k});
  std::copy_n(rows.scale.data(), in.m, out.input_scale.begin());
  out.counts = rows.counts;
  Int8Linear(linear, kernels)
      .Multiply(rows, MatView<Half>{out.y.data(), in.m, in.n, in.n},
                {out.acc.data(), in.m, in.n, in.n});
  return out;
}

LayerOutput RunLayer(const LayerInput& in, const Quantizer& spec, const Options& options,
                     const Kernels& kernels) {
  switch (*options.precision) {
    case Precision::kFp16:
      return RunFp16(in);
    case Precision::kFake:
      return RunFake(in, spec, options);
    case Precision::kEmulated:
      return RunEmulated(in, spec);
    case Precision::kInt8:
      return RunInt8(in, spec, kernels);
  }
  W8A8_CHECK(!"a Precision outside its enumeration");
  return LayerOutput(in);
}

void WriteOutput(const LayerInput& in, const LayerOutput& out, const std::string& path) {
  SafetensorsWriter writer;
  const auto add = [&writer](const char* name, Dtype dtype, std::vector<int64_t> shape,
                             const auto& values) {
    if (!values.empty()) writer.Add(name, dtype, std::move(shape), std::span(values));
  };
  add("codes", Dtype::kI8, {in.m, in.k}, out.codes);
  add("input_scale", Dtype::kF32, {static_cast<int64_t>(out.input_scale.size())}, out.input_scale);
  add("code_sum", Dtype::kI32, {in.m}, out.code_sum);
  add("weight_codes", Dtype::kI8, {in.n, in.k}, out.weight_codes);
  add("weight_scale", Dtype::kF32, {in.n}, out.weight_scale);
  add("acc", Dtype::kI32, {in.m, in.n}, out.acc);
  add("y", Dtype::kF16, {in.m, in.n}, out.y);
  std::vector<uint64_t> counts;
  if (out.counts) counts = {out.counts->nan, out.counts->inf, out.counts->saturated};
  add("counts", Dtype::kU64, {3}, counts);
  writer.Write(path);
}

}  // namespace

int RunLinear(const Options& options) {
  CheckLinearFlags(options);
  const Quantizer spec = SpecOf(options);
  CheckQuantizer(spec, "x");
  const Kernels& kernels = KernelsOf(options);
  const LayerInput in = ReadInput(options.in);
  LayerOutput out = RunLayer(in, spec, options, kernels);
  if (options.input_scale && !out.input_scale.empty()) {
    out.input_scale.erase(out.input_scale.begin() + 1, out.input_scale.end());
  }
  WriteOutput(in, out, options.out);
  return 0;
}

}  // namespace w8a8
