#include "eval/bench/step_case.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "runtime/base/counter_hash.h"
#include "runtime/prepare.h"

namespace w8a8 {
namespace {

// Values in [-1, 1) of every slot that is FP16; equal rows for any number of them.
void FillSlots(Arena& arena, const std::vector<Slot>& slots) {
  for (size_t id = 0; id < slots.size(); ++id) {
    if (slots[id].storage != SlotStorage::kHalf) continue;
    std::vector<Half> values(static_cast<size_t>(slots[id].rows * slots[id].cols));
    for (size_t i = 0; i < values.size(); ++i) values[i] = ToHalf(HashUniform(10 + id, i));
    arena.Upload(static_cast<SlotId>(id), 0, std::as_bytes(std::span(values)));
  }
}

Slot HalfSlot(const char* name, int64_t rows, int64_t cols) {
  return {.name = name, .rows = rows, .cols = cols};
}

// As a graph has what linear layers write.
Slot SpacedSlot(const char* name, int64_t rows, int64_t cols) {
  return {.name = name, .rows = rows, .cols = cols, .spaced = true};
}

Slot CodesSlot(int64_t rows, int64_t cols) {
  return {.name = "codes", .rows = rows, .cols = cols, .storage = SlotStorage::kCodes};
}

CodesOutput PerToken(SlotId slot) {
  return {.slot = slot, .input = {.quantizer = Quantizer()}, .group = 0};
}

FloatsPtr MadeFloats(std::vector<float> values) {
  return std::make_shared<const std::vector<float>>(std::move(values));
}

FloatsPtr Ones(int64_t count) {
  return MadeFloats(std::vector<float>(static_cast<size_t>(count), 1.0f));
}

// By RowSlot.
std::vector<Slot> RowSlots(int64_t rows, int64_t cols) {
  return {HalfSlot("in", rows, cols), HalfSlot("out", rows, cols), CodesSlot(rows, cols),
          HalfSlot("product", rows, 1)};
}

StepCase QuantizeCase(Backend& backend, int64_t rows, int64_t cols) {
  return {backend,
          RowSlots(rows, cols),
          {QuantizeStep{.in = kRowsIn, .codes = PerToken(kRowsCodes)}},
          kRowsOut};
}

NormStep MadeNorm(int64_t cols) {
  return {.in = kRowsIn,
          .out = kRowsOut,
          .kind = NormKind::kLayerNorm,
          .eps = 1e-6f,
          .weight = Ones(cols),
          .bias = Ones(cols),
          .codes = PerToken(kRowsCodes)};
}

StepCase NormCase(Backend& backend, int64_t rows, int64_t cols) {
  return {backend, RowSlots(rows, cols), {MadeNorm(cols)}, kRowsOut};
}

// With the residual before it, as in a program. The stream is the norm's input.
StepCase ResidualNormCase(Backend& backend, int64_t rows, int64_t cols) {
  std::vector<Slot> slots = RowSlots(rows, cols);
  slots.push_back(HalfSlot("branch", rows, cols));
  NormStep norm = MadeNorm(cols);
  norm.add = AddStep{
      .stream = kRowsIn, .y = static_cast<SlotId>(slots.size() - 1), .layer_scale = MadeFloats({})};
  return {backend, slots, {std::move(norm)}, kRowsOut};
}

StepCase GeluCase(Backend& backend, int64_t rows, int64_t cols) {
  return {backend,
          RowSlots(rows, cols),
          {ActivationStep{.in = kRowsIn,
                          .out = kRowsOut,
                          .kind = ActivationKind::kGeluTanh,
                          .codes = PerToken(kRowsCodes)}},
          kRowsOut};
}

StepCase ResidualCase(Backend& backend, int64_t rows, int64_t cols) {
  return {backend,
          RowSlots(rows, cols),
          {AddStep{.stream = kRowsOut, .y = kRowsIn, .layer_scale = MadeFloats({})}},
          kRowsOut};
}

}  // namespace

std::vector<GemmShape> StandardShapes() {
  struct Model {
    const char* name;
    int64_t rows, width, mlp_width;
  };
  std::vector<GemmShape> shapes;
  for (const Model& model :
       {Model{"so400m", 729, 1152, 4304}, Model{"so400m x 4", 2916, 1152, 4304},
        Model{"base/16", 196, 768, 3072}, Model{"InternViT-300M", 1025, 1024, 4096}}) {
    const std::string name = model.name;
    shapes.push_back({name + " qkv", model.rows, 3 * model.width, model.width});
    shapes.push_back({name + " out", model.rows, model.width, model.width});
    shapes.push_back({name + " fc1", model.rows, model.mlp_width, model.width});
    shapes.push_back({name + " fc2", model.rows, model.width, model.mlp_width});
  }
  return shapes;
}

std::vector<GemmShape> ShapesOf(const Graph& graph, const std::string& model) {
  std::vector<GemmShape> shapes;
  std::set<std::tuple<int64_t, int64_t, int64_t>> seen;
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    const Slot& in = graph.slot(node.in);
    const int64_t n = graph.slot(node.out).cols;
    if (!seen.emplace(in.rows, n, in.cols).second) continue;
    shapes.push_back({model + " " + node.site, in.rows, n, in.cols});
  }
  return shapes;
}

std::vector<AttentionShape> StandardAttention() {
  return {{"so400m", 729, 16, 72},
          {"base/16", 196, 12, 64},
          {"InternViT-300M", 1025, 16, 64},
          {"ViT-Ti", 197, 3, 64}};
}

AttentionShape AttentionOf(const Graph& graph, const std::string& model) {
  return {model, graph.config.tokens(), graph.config.heads, graph.config.head_dim()};
}

QuantizedLinear MadeLayer(const GemmShape& shape) {
  std::vector<int8_t> codes(static_cast<size_t>(shape.n * shape.k));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(CounterHash(2, i));
  const auto n = static_cast<size_t>(shape.n);
  return QuantizedLinear::FromCodes(shape.where, shape.n, shape.k, std::move(codes),
                                    std::vector<float>(n, 1e-4f), std::vector<float>(n, 0.5f));
}

StepCase::StepCase(Backend& backend, const std::vector<Slot>& slots, std::vector<Step> steps,
                   SlotId out)
    : arena_(backend.MakeArena()), steps_(std::move(steps)), out_(out) {
  arena_->Prepare(slots, {.images = 1});
  FillSlots(*arena_, slots);
  for (const Step& step : steps_) arena_->Run(step, {});
}

StepCase GemmS8Case(Backend& backend, const QuantizedLinear& layer, int64_t rows) {
  const int64_t n = layer.weight.n, k = layer.weight.k;
  return {backend,
          {HalfSlot("in", rows, k), SpacedSlot("out", rows, n), CodesSlot(rows, k)},
          {QuantizeStep{.in = 0, .codes = PerToken(2)},
           GemmS8Step{.codes = 2, .out = 1, .weight = backend.PackInt8(layer, k)}},
          1};
}

StepCase GemmF16Case(Backend& backend, const QuantizedLinear& layer, int64_t rows) {
  const int64_t n = layer.weight.n, k = layer.weight.k;
  const std::vector<float> weight = Fp16Values(layer.name, layer.weight.RealValues());
  return {backend,
          {HalfSlot("in", rows, k), SpacedSlot("out", rows, n)},
          {GemmF16Step{.in = 0,
                       .out = 1,
                       .weight = backend.PackFloat({weight.data(), n, k, k}, FloatOperands::kHalf),
                       .bias = MadeFloats(layer.bias)}},
          1};
}

StepCase GemmW8Case(Backend& backend, const QuantizedLinear& layer, int64_t rows) {
  const int64_t n = layer.weight.n, k = layer.weight.k;
  return {
      backend,
      {HalfSlot("in", rows, k), SpacedSlot("out", rows, n)},
      {GemmW8Step{.in = 0, .out = 1, .transform = nullptr, .weight = backend.PackInt8(layer, k)}},
      1};
}

StepCase AttentionCase(Backend& backend, const AttentionShape& shape,
                       AttentionPrecision precision) {
  const int64_t width = shape.heads * shape.head_dim;
  return {backend,
          {SpacedSlot("qkv", shape.tokens, 3 * width), HalfSlot("out", shape.tokens, width)},
          {AttentionStep{.q = 0,
                         .kv = 0,
                         .out = 1,
                         .q_col = 0,
                         .k_col = width,
                         .v_col = 2 * width,
                         .heads = shape.heads,
                         .head_dim = shape.head_dim,
                         .precision = precision}},
          1};
}

std::vector<RowOperation> RowOperations() {
  return {{"quantize", QuantizeCase},
          {"layer_norm+quantize", NormCase},
          {"residual+layer_norm+quantize", ResidualNormCase},
          {"gelu+quantize", GeluCase, true},
          {"residual", ResidualCase, false, /*makes_codes=*/false}};
}

}  // namespace w8a8
