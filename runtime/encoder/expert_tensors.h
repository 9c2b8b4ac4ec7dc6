// What a checkpoint's tensors say about experts: how theirs are named, and which ones the config
// does not account for.
#pragma once

#include <string>

#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Fills in the spelling, orientation and biases of `config`'s experts, and whether they are gated,
// by their tensors. Where there are none, nothing changes: whoever reads them says what is missing.
// Throws Error naming tensors that have none of the known names, or two of them, and a fused pair
// that lies in neither way.
void FindExperts(const Checkpoint& checkpoint, const std::string& prefix, EncoderConfig* config);

// Throws Error naming the first tensor, in the blocks of the tower at `prefix`, of an expert that
// the config does not have, of a router or a shared expert that is not read, or of a dense MLP in a
// block with experts.
void RefuseOtherExperts(const Checkpoint& checkpoint, const std::string& prefix,
                        const EncoderConfig& config);

}  // namespace w8a8
