#include "eval/cli/commands/linear.h"

#include <string>
#include <utility>
#include <vector>

#include "eval/cli/commands/linear_input.h"
#include "eval/cli/commands/linear_output.h"
#include "eval/cli/commands/linear_scheme.h"
#include "eval/cli/error_text.h"
#include "eval/cli/settings.h"
#include "eval/job/output_folder.h"
#include "eval/run/single_layer.h"
#include "runtime/backend.h"
#include "runtime/base/standard_streams.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/cuda_backend.h"
#include "runtime/lower.h"

namespace w8a8 {
namespace {

// All precisions run on it, but only the INT8 kernels depend on the set.
std::unique_ptr<Backend> BackendOf(const Options& options) {
  const DeviceSettings device = DeviceOf(options);
  if (device.cuda_device) {
    return OpenCudaDevice(*device.cuda_device, options.kernels).make_backend();
  }
  const std::string name(Select(options.kernels).name);
  if (options.device == "auto" && !options.quiet) Tell("device     cpu ({})\n", name);
  return MakeCpuBackend(name);
}

// Runs the steps of the layer and keeps what they leave.
LinearOutput Run(const LinearInput& in, const Program& program, Arena& arena) {
  arena.Prepare(program.slots, {.images = 1});
  arena.Upload(Lowering::kLayerIn, 0, std::as_bytes(std::span(in.x)));
  LinearOutput out;
  for (const Step& step : program.steps) {
    StepResult result = arena.Run(step, {.trace = true});
    if (result.trace) out.trace = std::move(result.trace);
  }
  if (program.slots[Lowering::kLayerOut].storage == SlotStorage::kFloat) {
    const MatView<const float> y = arena.HostFloats(Lowering::kLayerOut);
    for (int64_t i = 0; i < y.rows * y.cols; ++i) out.brains.push_back(ToBFloat16(y.data[i]));
  } else {
    const MatView<const Half> y = arena.HostHalf(Lowering::kLayerOut);
    out.halves.assign(y.data, y.data + y.rows * y.cols);
  }
  return out;
}

LinearOutput RunLayer(const LinearInput& in, const Options& options, Backend& backend) {
  const std::string& site = options.in;  // what messages begin with
  const FakeFlavour flavour = LinearFlavour(options);
  const Graph graph = SingleLayerGraph(
      site, in.m, in.layer.k, in.layer.n,
      flavour == FakeFlavour::kVllmStaticBf16 ? SlotStorage::kFloat : SlotStorage::kHalf);
  const SingleLayerWeights weights(in.layer);
  Lowering lowering(graph, weights, backend);
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  const Plan plan{.sites = {{site, in.plan}}};
  LinearOutput out = Run(in, lowering.LowerLayer(0, *options.precision, plan, flavour), *arena);
  if (*options.precision == Precision::kFp16) return out;
  out.weight = lowering.Prepared(site, in.plan, flavour)->layer.weight;
  return out;
}

}  // namespace

int RunLinear(const Options& options) {
  CheckLinearFlags(options);
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const std::unique_ptr<Backend> backend = BackendOf(options);
  const LinearInput in = ReadLinearInput(options);
  WriteLinearOutput(in, RunLayer(in, options, *backend), options.out);
  return 0;
}

}  // namespace w8a8
