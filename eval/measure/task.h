// What turns the outputs of an image into right and wrong answers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/measure/class_embeddings.h"

namespace w8a8 {

// The accepted classes of an image; absent without a label.
using AcceptedClasses = std::map<std::string, std::vector<int64_t>>;  // by image name

struct Task {
  AcceptedClasses accepted;                // empty: no labels
  std::optional<ClassEmbeddings> classes;  // none: the model's logits
};

}  // namespace w8a8
