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
//   model.safetensors         per site of the plan and part (q, k, v): P.weight I8 [out, in],
//                             P.weight_scale F32 [out, 1] and, for a static input, P.input_scale
//                             F32 [1]; every other tensor byte for byte as it was
//   scales.h5                 /sites/<site>/ weight_scale f32 [N], weight_code_sum i32 [N],
//                             input_scale f32 [1] (static); attributes granularity, clip_range
//                             (infinity: no clip), num_bits; the file's attribute model_sha256: of
//                             the model that it was made from; /files: the names of the following
//   plan.json                 the plan, for the model that it was made from
//   whatever else the model's class and processor read (carried_files.h)
// With ExportScope::kTowerOnly it is a checkpoint of the tower's own class, without the rest of the
// model. The codes and scales are those of the in-memory int8 arm (runtime/prepare.h). Memory: a
// few layers, however many there are; each is quantized twice, for its scales and for its codes.
//
// Throws Error for what compressed-tensors cannot express, with the first sites' names: a finite
// clip range on a dynamic input, smoothing, weights of other than 8 bits; for a whole model whose
// other parts are quantized in another way (FindQuantization()). Returns warnings for the user (a
// target that will not load a layer in INT8).
std::vector<std::string> ExportQuantized(const Weights& weights, const Graph& graph,
                                         const Plan& plan,
                                         const std::filesystem::path& model_folder,
                                         const std::filesystem::path& out,
                                         ExportScope scope = ExportScope::kWhole);

// The refusals of ExportQuantized() that depend on the plan alone, for before the work is done.
void CheckExportable(const Plan& plan);
// The one that depends on the model alone: tensors whose names have no place in the format.
void CheckExportable(const EncoderWeights& weights, const Graph& graph);
// Why the whole of the model cannot be exported, but its tower can; "" if it can.
// Names the file without its folder: it goes into reports, which do not depend on that.
std::string WhyTowerOnly(const std::filesystem::path& model_folder);

// How the sites of a quantized/ folder are stored: a static input scale gives per-tensor, none
// gives per-token; sites without codes are absent. Empty for a model that is not quantized.
Plan StoredPlan(const EncoderWeights& weights, const Graph& graph);

}  // namespace w8a8
