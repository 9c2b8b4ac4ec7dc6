// Checkpoints made of the counter hash: any shape of any family without a download, for goldens and
// the demo. Equal in every tensor byte to tests/python/hash_checkpoint.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Writes config.json, model.safetensors and preprocessor_config.json of a SiglipVisionModel into
// `folder` (made if absent), with the experts of `config` if it has any. `config.family` is
// "siglip"; dtype is kF32, kF16 or kBF16.
//
// Element i of tensor `key` is made from u = HashUniform(CounterHash(seed, HashText(key)), i):
//   weights of norms           1 + u / 4
//   biases                     u / 16
//   layer scales               1 / 2 + u / 4
//   position table, tokens     u / 2 (prefix tokens, the pooling head's probe)
//   matrices and convolution   u * sqrtf(3 / inputs): variance 1 / inputs keeps activations near 1
// each step in binary32, then rounded to dtype. The first `outliers` channels (channel j is
// CounterHash(seed, j) mod width) are outliers as trained encoders have them: the two norms of each
// block scale them by 16, and the layers that read the norm scale them back by 1 / 16.
void WriteHashCheckpoint(const std::filesystem::path& folder, const EncoderConfig& config,
                         Dtype dtype, uint64_t seed, int64_t outliers = 0);

// The same for any family, without outliers: `config_json` becomes config.json, and
// model.safetensors holds the tensors that it asks for, under their names without a prefix.
void WriteHashCheckpoint(const std::filesystem::path& folder, const std::string& config_json,
                         Dtype dtype, uint64_t seed);

}  // namespace w8a8
