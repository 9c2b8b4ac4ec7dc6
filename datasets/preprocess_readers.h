// The readers behind ReadPreprocessConfig, one for each family of config files. Both throw Error
// that names the file, the key and the value.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "datasets/preprocess_config.h"

namespace w8a8 {

// transformers' image processors that do convert, resize, centre crop, rescale, normalize (SigLIP,
// CLIP, ViT, DeiT, BiT/DINOv2), with the defaults of each class for keys that are absent.
PreprocessConfig ReadHuggingFaceConfig(const nlohmann::json& json,
                                       const std::filesystem::path& source);

// timm's evaluation transform: shorter side (crop_mode "center") or both sides ("squash") to
// floor(input / crop_pct), centre crop, / 255, normalize.
PreprocessConfig ReadTimmConfig(const nlohmann::json& json, const std::filesystem::path& source);

// Used by both. A number or a list of three.
std::array<double, 3> ReadPerChannel(const nlohmann::json& value, const std::string& where);
// A length in pixels, 1 to 8192.
int ReadSide(const nlohmann::json& value, const std::string& where);
double ReadNumber(const nlohmann::json& value, const std::string& where);

}  // namespace w8a8
