// The config.json of an export.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/export/compressed_scheme.h"
#include "eval/export/exported_scope.h"
#include "quant/spec.h"

namespace w8a8 {

// The linear layers of the exported checkpoint, by their names there.
struct ExportedLayers {
  std::map<CompressedScheme, std::vector<std::string>> by_scheme;  // the quantized ones
  std::vector<std::string> others;
  std::vector<std::string> floats = {};  // of those, the ones that the source has as codes
};

// config.json of `model_folder`, with what else of a VILA tower's own code is needed.
nlohmann::ordered_json ReadSourceConfig(const std::filesystem::path& model_folder);

// `source`, or its tower's part, with the quantization_config of `layers`, merged with what the
// source says about its other parts. Where the tower's own class reads the part under
// 'vision_config' out of a whole model, that part has a quantization_config too: the class does not
// see the one at the top. Throws what FindQuantization() does.
nlohmann::ordered_json ExportedConfig(const nlohmann::ordered_json& source,
                                      const std::filesystem::path& model_folder,
                                      const EncoderConfig& encoder, const ExportedKeys& keys,
                                      const ExportedLayers& layers);

}  // namespace w8a8
