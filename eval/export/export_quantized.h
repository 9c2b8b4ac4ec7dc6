// Writes the deployable quantized/ folder of a model under a plan.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// Writes into `out` (made if absent; refused if it holds what no export wrote), config.json last,
// so that a folder without it was not finished:
//   config.json               the model's, with compressed-tensors' `quantization_config`
//   model.safetensors         per site of the plan and part (q, k, v): P.weight I8 [out, in],
//                             P.weight_scale F32 [out, 1] and, for a static input, P.input_scale
//                             F32 [1]; every other tensor byte for byte as it was
//   preprocessor_config.json  the model's, if it has one
//   scales.h5                 /sites/<site>/ weight_scale f32 [N], weight_code_sum i32 [N],
//                             input_scale f32 [1] (static); attributes granularity, clip_range
//                             (infinity: no clip), num_bits; the file's attribute model_sha256: of
//                             the model that it was made from
//   plan.json                 the plan, for the model that it was made from
// The codes and scales are those of the in-memory int8 arm (runtime/prepare.h). Memory: a few
// layers, however many there are; each is quantized twice, for its scales and for its codes.
//
// Throws Error for what compressed-tensors cannot express, with the first sites' names: a finite
// clip range on a dynamic input, smoothing, weights of other than 8 bits. Returns warnings for the
// user (a target that will not load a layer in INT8).
std::vector<std::string> ExportQuantized(const Weights& weights, const Graph& graph,
                                         const Plan& plan,
                                         const std::filesystem::path& model_folder,
                                         const std::filesystem::path& out);

// The refusals of ExportQuantized() that depend on the plan alone, for before the work is done.
void CheckExportable(const Plan& plan);
// The one that depends on the model alone: tensors whose names have no place in the format.
void CheckExportable(const EncoderWeights& weights, const Graph& graph);

// How the sites of a quantized/ folder are stored: a static input scale gives per-tensor, none
// gives per-token; sites without codes are absent. Empty for a model that is not quantized.
Plan StoredPlan(const EncoderWeights& weights, const Graph& graph);

}  // namespace w8a8
