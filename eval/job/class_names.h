// What the config of a checkpoint calls the classes of its classifier.
#pragma once

#include <filesystem>
#include <vector>

#include "datasets/class_index.h"
#include "datasets/folder_labels.h"

namespace w8a8 {

struct ClassNames {
  std::vector<ClassName> names;                // empty: the config names none
  FolderOrder order = FolderOrder::kBytewise;  // of the framework that the checkpoint is of
};

// transformers' `id2label`, or its inverse `label2id` where that names nothing; timm's
// `label_names` (a list, or an object by index; `labels` in older files) and `label_descriptions`,
// at the top of the config or in its `pretrained_cfg`. Throws Error for an index that is none.
ClassNames ReadClassNames(const std::filesystem::path& folder);

}  // namespace w8a8
