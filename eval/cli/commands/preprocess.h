// preprocess --model DIR --images PATH --out F.safetensors: what the encoder will see.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

// Writes `pixel_values` F32 [images, 3, H, W], `resized.{i}` U8 [H, W, 3] and the metadata `images`
// (JSON list of names, in order), `skipped` (JSON list of {"file", "reason"}), `preprocessing` (one
// line for people) and `preprocessing_sha256`. Needs the model folder's preprocessing config only.
// All images are held in memory until the file is written: 15 bytes a pixel. Throws Error if not a
// single image can be read.
int RunPreprocess(const Options& options);

}  // namespace w8a8
