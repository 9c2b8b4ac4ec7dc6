// scales.h5 of an export: its numbers for programs that read no safetensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/export/exported_tensors.h"

namespace w8a8 {

// /sites/<site>/ weight_scale f32 [1] (one for all), [N] or [N, groups]; weight_code_sum i32 [N];
// where there are any: weight_zero_point i8 of the scale's shape, input_scale f32 [1] and
// input_zero_point i32 [1] (static), output_scale f32 [1], smoothing f32 [K]. Attributes:
// granularity (of the input: per-tensor, per-token, per-group; "fp16" where it stays FP16),
// clip_range (infinity: no clip), num_bits; where they apply group_size, input_group_size,
// input_symmetric (0: with zero points), rotation ("BLOCK[,mix][,seed=N]"). The file's attribute
// model_sha256: of the model that it was made from; kFileList: `carried`.
void WriteScales(const std::filesystem::path& path, const ExportedSites& sites,
                 const std::string& model_sha256, const std::vector<std::string>& carried);

}  // namespace w8a8
