// Layers that a checkpoint stores in a quantized format that is not read.
#pragma once

#include <optional>
#include <string>

#include "runtime/encoder/checkpoint.h"

namespace w8a8 {

struct ForeignStorage {
  const TensorView* tensor = nullptr;  // the one that shows it
  std::string format;                  // "GPTQ", "FP8", "AWQ"
};

// How the linear layer `stem` ("vision_tower.encoder.layers.0.mlp.fc1") is stored, by the names and
// dtypes of its tensors, whatever the configs say; nullopt where its weight is float with nothing
// beside it, is integers as compressed-tensors stores them, or where nothing at all is stored.
std::optional<ForeignStorage> FindForeignStorage(const Checkpoint& checkpoint,
                                                 const std::string& stem);

// Throws Error naming the first tensor of a tower whose `anchor`
// ("embeddings.patch_embedding.weight") is there, but in such a format. `described` is what the
// configs say, or "".
void RefuseForeignTower(const Checkpoint& checkpoint, const std::string& anchor,
                        const std::string& described);

[[noreturn]] void RefuseStorage(const Checkpoint& checkpoint, const ForeignStorage& storage,
                                const std::string& described);

}  // namespace w8a8
