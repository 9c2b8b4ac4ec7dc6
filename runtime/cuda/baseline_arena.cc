#include "runtime/cuda/baseline_arena.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cuda/e4m3_kernels.h"
#include "runtime/cuda/norm_kernels.h"
#include "runtime/cuda/row_kernels.h"

namespace w8a8 {
namespace {

// The product of a step without what may stand behind it.
LibraryProduct ProductOf(MatView<const Half> x, const BaselineWeights& weight) {
  return {.kind = LibraryProduct::Kind::kHalfToHalf,
          .m = x.rows,
          .n = weight.n(),
          .k = x.cols,
          .x = x.data,
          .x_stride = x.stride,
          .weight = weight.elements().data,
          .weight_stride = weight.stride()};
}

}  // namespace

BaselineArena::BaselineArena(int device_index, CudaProducts* products, DeviceVectors& vectors,
                             BaselineBackend& baseline)
    : CudaArena(device_index, products, vectors), baseline_(baseline) {}

void BaselineArena::RunAll(const Program& program, std::span<const SlotId> kept) {
  const bool known =
      std::ranges::none_of(program.steps, [this](const Step& step) { return IsUnknown(step); });
  if (!known) FindScales(program);
  if (!baseline_.library().fits_graphs()) return RunSteps(program, kept);
  CudaArena::RunAll(program, kept);
}

bool BaselineArena::IsUnknown(const Step& step) const {
  const auto* product = std::get_if<GemmF16Step>(&step);
  if (product == nullptr || rows(product->in) == 0) return false;
  const BaselineWeights& weight = PackedAs<BaselineWeights>(*product->weight);
  return weight.has_fp8() && !weight.Fp8Answer(rows(product->in));
}

size_t BaselineArena::RunFrom(const Program& program, size_t i, ProductFusion fusion,
                              std::span<const SlotId> kept) {
  const Step& step = program.steps[i];
  const auto* product = std::get_if<GemmF16Step>(&step);
  if (product != nullptr && !product->output && rows(product->in) > 0) {
    return RunProduct(program, i, fusion, kept);
  }
  rows_.slot = kNoSlot;
  const auto* attention = std::get_if<AttentionStep>(&step);
  if (attention != nullptr && Attend(*attention)) return 1;
  if (baseline_.kind() == BaselineKind::kFp8 && RunCoding(program, i, step, kept)) return 1;
  return CudaArena::RunFrom(program, i, fusion, kept);
}

bool BaselineArena::Attend(const AttentionStep& step) {
  bool done = false;
  if (baseline_.attention() != nullptr) {
    const BatchAttentionArgs args = AttentionArgsOf(step);
    Timed([&] { done = baseline_.attention()->Attend(queue(), args); });
  }
  Note(done ? BaselineNote::kAttention : BaselineNote::kOwnAttention);
  return done;
}

size_t BaselineArena::RunProduct(const Program& program, size_t i, ProductFusion fusion,
                                 std::span<const SlotId> kept) {
  const auto& step = std::get<GemmF16Step>(program.steps[i]);
  const BaselineWeights& weight = PackedAs<BaselineWeights>(*step.weight);
  if (fusion == ProductFusion::kActivation) {
    if (MultiplyWithGelu(program, i, kept)) return 2;
    Note(BaselineNote::kActivation);
  }
  if (fusion == ProductFusion::kResidual && MultiplyWithResidual(program, i, kept)) return 2;
  if (fusion == ProductFusion::kResidual) Note(BaselineNote::kAdd);
  LibraryProduct plain = ProductOf(half(step.in), weight);
  plain.y = half(step.out).data;
  if (Multiply(step, plain)) return 1;
  if (weight.takes_fp8(plain.m)) {
    Fail("cuBLASLt multiplied {} rows by {} x {} weights in FP8, and now it does not", plain.m,
         weight.n(), weight.k());
  }
  Note(BaselineNote::kProduct);
  rows_.slot = kNoSlot;
  return CudaArena::RunFrom(program, i, ProductFusion::kNone, kept);
}

// Bias and operands are the step's, FP8 where the layer takes it; the rest is the product's.
bool BaselineArena::Multiply(const GemmF16Step& step, LibraryProduct product) {
  const BaselineWeights& weight = PackedAs<BaselineWeights>(*step.weight);
  product.bias = baseline_.Bias(queue(), step.bias);
  const bool fp8 = weight.takes_fp8(product.m);
  bool done = false;
  Timed([&] {
    if (fp8) {
      if (product.kind == LibraryProduct::Kind::kHalfToHalf) {
        product.kind = LibraryProduct::Kind::kFp8ToHalf;
      }
      product.x = RowsOf(step, weight);
      product.x_stride = product.weight_stride = PaddedCodes(product.k);
      product.weight = weight.codes();
      product.x_scale = weight.input_scale_on_device();
      product.weight_scale = weight.weight_scale();
    }
    done = baseline_.library().Multiply(queue(), product);
  });
  if (!done) return false;
  if (product.bias != nullptr) Note(BaselineNote::kBias);
  if (!fp8 && baseline_.kind() == BaselineKind::kFp8) {
    Note(BaselineNote::kHalfProduct);
  }
  return true;
}

bool BaselineArena::MultiplyWithGelu(const Program& program, size_t i,
                                     std::span<const SlotId> kept) {
  const auto& step = std::get<GemmF16Step>(program.steps[i]);
  const auto& activation = std::get<ActivationStep>(program.steps[i + 1]);
  if (activation.kind != ActivationKind::kGeluTanh || activation.out == step.in) return false;
  const BaselineWeights& weight = PackedAs<BaselineWeights>(*step.weight);
  LibraryProduct product = ProductOf(half(step.in), weight);
  product.gelu = true;
  const BaselineWeights* next = Fp8LayerAt(program, i + 2, activation.out);
  if (next != nullptr && weight.takes_fp8(product.m) &&
      IsDead(program, i + 3, activation.out, kept)) {
    product.kind = LibraryProduct::Kind::kFp8ToFp8;
    product.y = BeginRows(activation.out, next->input_scale(), &next_rows_).codes;
    product.y_inv_scale = next->input_inv_scale_on_device();
    if (Multiply(step, product)) {
      std::swap(rows_, next_rows_);
      Note(BaselineNote::kGelu);
      Note(BaselineNote::kCodesInGelu);
      return true;
    }
    product.kind = LibraryProduct::Kind::kHalfToHalf;
    product.y_inv_scale = nullptr;
  }
  product.y = half(activation.out).data;
  if (!Multiply(step, product)) return false;
  rows_.slot = kNoSlot;
  Note(BaselineNote::kGelu);
  return true;
}

bool BaselineArena::MultiplyWithResidual(const Program& program, size_t i,
                                         std::span<const SlotId> kept) {
  const auto& step = std::get<GemmF16Step>(program.steps[i]);
  const auto* norm = std::get_if<NormStep>(&program.steps[i + 1]);
  const AddStep& add = norm != nullptr ? *norm->add : std::get<AddStep>(program.steps[i + 1]);
  const bool scaled = add.layer_scale != nullptr && !add.layer_scale->empty();
  if (scaled || add.stream == step.in) return false;
  LibraryProduct product = ProductOf(half(step.in), PackedAs<BaselineWeights>(*step.weight));
  product.add = true;
  product.y = half(add.stream).data;
  if (!Multiply(step, product)) return false;
  rows_.slot = kNoSlot;
  Note(BaselineNote::kResidual);
  if (norm == nullptr) return true;
  NormStep rest = *norm;
  rest.add.reset();
  const bool fp8 = baseline_.kind() == BaselineKind::kFp8;
  if (!fp8 || !RunCoding(program, i + 1, rest, kept)) Run(rest, {});
  return true;
}

bool BaselineArena::RunCoding(const Program& program, size_t i, const Step& step,
                              std::span<const SlotId> kept) {
  const auto* norm = std::get_if<NormStep>(&step);
  const auto* activation = std::get_if<ActivationStep>(&step);
  if (norm == nullptr && activation == nullptr) return false;
  const SlotId out = norm != nullptr ? norm->out : activation->out;
  const BaselineWeights* layer = Fp8LayerAt(program, i + 1, out);
  if (layer == nullptr) return false;
  const PlainCodes codes = BeginRows(out, layer->input_scale(), &rows_);
  MatView<Half> y = half(out);
  if (IsDead(program, i + 2, out, kept)) y.data = nullptr;
  Timed([&] {
    if (activation != nullptr) {
      return LaunchActivation(
          queue(), {.kind = activation->kind, .x = half(activation->in), .y = y, .codes = codes});
    }
    const auto normalize = [&]<class T>(MatView<T> x) {
      NormArgsOf<T> args{.kind = norm->kind,
                         .eps = norm->eps,
                         .x = x,
                         .weight = Vector(norm->weight),
                         .bias = Vector(norm->bias),
                         .y = y,
                         .codes = codes};
      if (norm->add) args.add = {half(norm->add->y), Vector(norm->add->layer_scale)};
      LaunchNorm(queue(), args);
    };
    IsFloat(norm->in) ? normalize(floats(norm->in)) : normalize(half(norm->in));
  });
  Note(BaselineNote::kCodesBefore);
  return true;
}

const BaselineWeights* BaselineArena::Fp8LayerAt(const Program& program, size_t i,
                                                 SlotId slot) const {
  if (i >= program.steps.size()) return nullptr;
  const auto* product = std::get_if<GemmF16Step>(&program.steps[i]);
  if (product == nullptr || product->in != slot || product->output) return nullptr;
  const BaselineWeights& weight = PackedAs<BaselineWeights>(*product->weight);
  return weight.takes_fp8(rows(slot)) && weight.input_scale() > 0 ? &weight : nullptr;
}

void BaselineArena::FindScales(const Program& program) {
  finding_scales_ = true;
  std::vector<std::pair<SlotId, std::vector<std::byte>>> before;
  for (SlotId id = 0; id < static_cast<SlotId>(slots().size()); ++id) {
    // The others are written anew, or not at all.
    if (rows(id) == 0 || IsDead(program, 0, id, {})) continue;
    const std::span<const std::byte> bytes = HostView(id);
    before.emplace_back(id, std::vector<std::byte>(bytes.begin(), bytes.end()));
  }
  for (const Step& step : program.steps) {
    if (IsUnknown(step)) {
      const auto& product = std::get<GemmF16Step>(step);
      FindScale(product, PackedAs<BaselineWeights>(*product.weight));
    }
    Run(step, {});
  }
  for (const auto& [id, bytes] : before) Upload(id, 0, bytes);
  rows_.slot = kNoSlot;
  finding_scales_ = false;
}

// Of the first rows that a layer meets; and whether the library has a product of so many.
void BaselineArena::FindScale(const GemmF16Step& step, const BaselineWeights& weight) {
  if (weight.input_scale() == 0) weight.SetInputAmax(queue(), AmaxOf(HostHalf(step.in)));
  LibraryProduct plain = ProductOf(half(step.in), weight);
  plain.y = half(step.out).data;
  rows_.slot = kNoSlot;
  weight.SetFp8Answer(plain.m, Multiply(step, plain));
}

PlainCodes BaselineArena::BeginRows(SlotId slot, float scale, Fp8Rows* rows) {
  const int64_t stride = PaddedCodes(this->slot(slot).cols);
  rows->slot = slot;
  rows->scale = scale;
  return {.static_scale = scale,
          .codes = reinterpret_cast<int8_t*>(rows->codes.Reserve(this->rows(slot) * stride)),
          .stride = stride,
          .e4m3 = true};
}

const uint8_t* BaselineArena::RowsOf(const GemmF16Step& step, const BaselineWeights& weight) {
  if (rows_.slot == step.in && rows_.scale == weight.input_scale()) return rows_.codes.data();
  LaunchToE4m3(queue(), half(step.in), BeginRows(step.in, weight.input_scale(), &rows_));
  Note(BaselineNote::kCodesApart);
  return rows_.codes.data();
}

}  // namespace w8a8
