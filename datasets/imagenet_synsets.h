// The synsets of ImageNet's 1,000 classes (ILSVRC 2012).
#pragma once

#include <array>
#include <cstdint>

namespace w8a8 {

// WordNet 3.0's offsets of the nouns: the folder n01440764 is class 0. Classes are numbered by them
// in ascending order, in timm, torchvision and transformers alike.
extern const std::array<uint32_t, 1000> kImageNetSynsets;

}  // namespace w8a8
