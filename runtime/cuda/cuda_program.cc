// Whole programs on CudaArena: products do their next step's work where nobody sees the difference,
// and what the host has no part in becomes one call.
#include "runtime/cuda/cuda_arena.h"
#include "runtime/cuda/epilogue_kernels.h"

namespace w8a8 {
namespace {

class Capturing {
 public:
  explicit Capturing(bool* flag) : flag_(flag) { *flag_ = true; }
  ~Capturing() { *flag_ = false; }
  Capturing(const Capturing&) = delete;
  Capturing& operator=(const Capturing&) = delete;

 private:
  bool* const flag_;
};

}  // namespace

void CudaArena::RunAll(const Program& program, std::span<const SlotId> kept) {
  UseDevice(device_index_);
  const DeviceGraph* graph = nullptr;
  if (!NeedsHost(program)) {
    const PatchGrid grid = inputs().grid;
    graph = graphs_.Of({.program = program.identity.value(),
                        .kept = {kept.begin(), kept.end()},
                        .images = inputs().images,
                        .grid_rows = grid.rows,
                        .grid_cols = grid.cols,
                        .masked = KeyMask() != nullptr},
                       queue(), [&] {
                         const Capturing capturing(&capturing_);
                         RunSteps(program, kept);
                       });
  }
  ran_as_graph_ = graph != nullptr;
  if (!ran_as_graph_) return RunSteps(program, kept);
  Timed([&] { graph->Launch(queue()); });
}

void CudaArena::RunSteps(const Program& program, std::span<const SlotId> kept) {
  const std::vector<ProductFusion> fusions = ProductFusions(program, kept);
  for (size_t i = 0; i < program.steps.size();) i += RunFrom(program, i, fusions[i], kept);
}

size_t CudaArena::RunFrom(const Program& program, size_t i, ProductFusion fusion,
                          std::span<const SlotId>) {
  const Step& step = program.steps[i];
  const auto* product = std::get_if<GemmS8Step>(&step);
  if (fusion != ProductFusion::kNone && product != nullptr && CanFuse(*product) &&
      RunFused(*product, program.steps[i + 1])) {
    return 2;
  }
  Run(step, {});
  return 1;
}

// One scale a row and one a column; no rows, nothing to fuse.
bool CudaArena::CanFuse(const GemmS8Step& product) const {
  const Codes& x = memory_[static_cast<size_t>(product.codes)].codes;
  return PackedAs<CudaInt8>(*product.weight).plain() && !x.asymmetric() && x.second == 0 &&
         x.rows > 0;
}

// Both steps; false: none of them.
bool CudaArena::RunFused(const GemmS8Step& product, const Step& next) {
  const CudaInt8& linear = PackedAs<CudaInt8>(*product.weight);
  const Codes& x = memory_[static_cast<size_t>(product.codes)].codes;
  if (const auto* activation = std::get_if<ActivationStep>(&next)) {
    const Quantizer& quantizer = *activation->codes->input.quantizer;
    if (!quantizer.is_static()) return false;
    Codes* codes = BeginCodes(activation->codes, activation->out);
    if (FusedCodes(codes).codes == nullptr) return false;
    ProductArgs args = ArgsOf(linear, x, {}, nullptr);
    args.output = ProductOutput::kCodes;
    args.activation = activation->kind;
    args.codes_scale = quantizer.scale;
    args.codes = codes->codes.data();
    args.codes_stride = codes->stride();
    Timed([&] {
      MultiplyPlain(args);
      LaunchRepeat(queue(), quantizer.scale, codes->rows, codes->scale.data());
    });
    return true;
  }
  const auto* norm = std::get_if<NormStep>(&next);
  const AddStep& add = norm != nullptr ? *norm->add : std::get<AddStep>(next);
  ProductArgs args = ArgsOf(linear, x, half(add.stream), nullptr);
  args.output = ProductOutput::kResidual;
  args.layer_scale = Vector(add.layer_scale);
  Timed([&] { MultiplyPlain(args); });
  if (norm == nullptr) return true;
  NormStep rest = *norm;
  rest.add.reset();
  Run(rest, {});
  return true;
}

}  // namespace w8a8
