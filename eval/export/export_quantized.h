// Writes the deployable quantized/ folder of a model under a plan.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/export/exported_scope.h"
#include "quant/spec.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// Writes the folder `out` (made if absent; refused if it holds what no export wrote). All files are
// put in place together, config.json last: whatever goes wrong before leaves an earlier export as
// it was.
//   config.json               the model's, with compressed-tensors' `quantization_config`
//   model.safetensors         per site of the plan that has weights, and part (q, k, v): P.weight
//   I8
//                             [out, in] where inputs are integers, else P.weight_packed I32 and
//                             P.weight_shape I64; P.weight_scale F32 [out, 1], [out, groups] or
//                             [1]; where there are any P.weight_zero_point (I8, or packed along
//                             out), P.input_scale F32 [1], P.input_zero_point I8 [1],
//                             P.output_scale F32 [1], P.bias F32 [out] that a search made; every
//                             other tensor byte for byte as it was. Experts of one tensor for all
//                             get a module each, gate_proj, up_proj and down_proj, also those that
//                             stay FP16, in place of that tensor; their biases keep its dtype
//   scales.h5                 the same numbers by site (exported_scales.h)
//   plan.json                 the plan, for the model that it was made from
//   whatever else the model's class and processor read (carried_files.h)
// With ExportScope::kTowerOnly it is a checkpoint of the tower's own class, without the rest of the
// model. The codes and scales are those of the in-memory int8 arm (runtime/prepare.h). Memory: a
// few layers, however many there are; each is quantized twice, for its scales and for its codes.
//
// Throws Error for what compressed-tensors cannot express (inexpressible.h) and for a whole model
// whose other parts are quantized in another way (FindQuantization()). Returns warnings for the
// user (a target that will not load a layer, or computes something else).
std::vector<std::string> ExportQuantized(const Weights& weights, const Graph& graph,
                                         const Plan& plan,
                                         const std::filesystem::path& model_folder,
                                         const std::filesystem::path& out,
                                         ExportScope scope = ExportScope::kWhole);

// The refusal of ExportQuantized() that depends on the model alone, for before the work is done:
// tensors whose names have no place in the format.
void CheckExportable(const EncoderWeights& weights, const Graph& graph);
// Why the whole of the model cannot be exported, but its tower can; "" if it can.
// Names the file without its folder: it goes into reports, which do not depend on that.
std::string WhyTowerOnly(const std::filesystem::path& model_folder);

}  // namespace w8a8
