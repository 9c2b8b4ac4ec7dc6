// The readers behind ReadPreprocessConfig, one for each family of config files. All throw Error
// that names the file, the key and the value.
#pragma once

#include "datasets/preprocess_config.h"
#include "datasets/processor_type.h"
#include "runtime/base/json_fields.h"

namespace w8a8 {

// transformers' image processors that do convert, resize, centre crop, rescale, normalize (SigLIP,
// CLIP, ViT, DeiT, BiT/DINOv2, Gemma 3, LLaVA, InternVL, NaFlex), with the defaults of each class
// for keys that are absent. InternVL's is tiled; of the other processors that cut an image up, the
// view of the whole image is made and `left_out` names the rest.
PreprocessConfig ReadHuggingFaceConfig(const JsonFields& fields, const ProcessorType& type);

// An InternVL chat checkpoint's config.json (model_type internvl_chat). Its own code never reads
// the preprocessor_config.json beside it: RGB without alpha, tiles of force_image_size (default
// 448) where dynamic_image_size is set, else the square; bicubic, / 255, ImageNet's mean and
// deviation.
PreprocessConfig ReadInternVlChatConfig(const JsonFields& fields);

// Of a CuMo checkpoint without a processor file: CLIP's, at the size of its tower's images, which
// its 'vision_config' or the shapes of its tensors tell. nullopt for every other model.
std::optional<PreprocessConfig> CumoPreprocessing(const JsonFields& model,
                                                  const std::filesystem::path& folder);

// The tile counts under these two names, 1 to 12 where they are absent.
constexpr int kMaxTilesPerImage = 64;
Tiling ReadTiling(const JsonFields& fields, const char* min_key, const char* max_key);

// timm's evaluation transform: shorter side (crop_mode "center") or both sides ("squash") to
// floor(input / crop_pct), centre crop, / 255, normalize. Under `pretrained_cfg`, or, as old timm
// wrote config.json, beside `architecture`.
PreprocessConfig ReadTimmConfig(const JsonFields& fields);

// Used by all. A number or a list of three; deviations are none of them 0.
std::array<double, 3> ReadPerChannel(const JsonFields& value);
std::array<double, 3> ReadDeviations(const JsonFields& value);
// A length in pixels, 1 to 8192.
int ReadSide(const JsonFields& value);
// Finite.
double ReadNumber(const JsonFields& value);

}  // namespace w8a8
