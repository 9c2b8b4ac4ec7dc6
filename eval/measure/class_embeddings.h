// Zero-shot classes: an embedding for each class, against which image embeddings (CLIP's projected
// output, SigLIP's pooled one) are ranked by cosine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/half.h"

namespace w8a8 {

struct ClassEmbeddings {
  std::string file;    // as given
  std::string sha256;  // of the file's bytes
  std::vector<std::string> names;
  int64_t width = 0;
  std::vector<float> rows;      // [names.size(), width]
  std::vector<double> lengths;  // of the rows, > 0

  int64_t classes() const { return static_cast<int64_t>(names.size()); }
  // The cosine of an image embedding with each class. Sums in binary64, in ascending order: equal
  // features give equal bits. 0 for a feature of zeros, NaN for one that is not finite.
  std::vector<double> Cosines(std::span<const Half> embedding) const;
};

// A safetensors file with `class_embeddings` [classes, width], F32, F16 or BF16, and the metadata
// `classes`, a JSON list with the name of each row. Throws Error naming file and row unless there
// is one name for each row, all different, and every row is finite and not zero; and unless there
// are kMinClasses or more, whose rows are not all equal.
ClassEmbeddings ReadClassEmbeddings(const std::filesystem::path& path);

// Throws Error unless the classes' embeddings are as wide as the images'; 0: the model has none.
void CheckEmbeddingWidth(const ClassEmbeddings& classes, int64_t image_width);

}  // namespace w8a8
