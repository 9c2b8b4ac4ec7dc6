// Small checkpoints with experts, and the same experts under every name that is read.
#pragma once

#include <filesystem>
#include <string>

#include "tests/encoder/small_models.h"

namespace w8a8::test {

// TinySiglip() with 3 experts of width 40 in block 1, of which 2 run for a token: gated, one module
// each, with biases.
EncoderConfig TinyMixture();
// A hash checkpoint of `config` (F32, seed 1) in a fresh scratch folder.
std::filesystem::path MixtureFolder(const std::string& name,
                                    const EncoderConfig& config = TinyMixture());

constexpr const char* kMixtureBlock = "vision_model.encoder.layers.1.";

// The gated experts of a TinyMixture() by another spelling of family_keys.h; biases follow.
void Respell(OwnedTensors& tensors, const std::string& spelling);
void RenameStem(OwnedTensors& tensors, const std::string& from, const std::string& to);

// A CuMo folder with 4 experts in each block (0: dense MLPs) of width 64, 112 pixels square in
// patches of 28, whose sizes only the tensors tell.
std::filesystem::path CumoFolder(const std::string& name, int64_t blocks, int64_t experts,
                                 const std::string& fields = "");

}  // namespace w8a8::test
