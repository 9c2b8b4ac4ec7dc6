// Accepted classes of images, from the sub-folders that they lie in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/class_index.h"
#include "datasets/labels.h"

namespace w8a8 {

// How folders are numbered where the model does not name its classes.
enum class FolderOrder : uint8_t {
  kNone,      // not at all
  kBytewise,  // torchvision's ImageFolder and the loaders of Hugging Face's datasets
  kNatural,   // timm: without case, runs of digits by their value, the innermost folder
};

// By what a sub-folder is a class.
enum class FoldersAre : uint8_t { kNoClasses, kNames, kNumbers, kOrdered };

struct FolderLabels {
  LabelsByImage accepted;  // images at the root have no label
  FoldersAre folders = FoldersAre::kNoClasses;
  std::string text;                 // how the folders became classes, or why they did not; a clause
  std::vector<std::string> folder;  // of each class that there are images of, ascending
};

// Of `images`, all names of one image set (of a folder or a list), whether they will be used or
// not: the classes are those of the whole set. In this order:
// 1. by name, where all folders of one level are names (ClassIndex); a first level of which only
//    some are is refused;
// 2. by number, where all are indices of classes;
// 3. in `order`, where the model names no classes and there are as many folders as classes.
// Otherwise they are no classes. A set of several splits (train, val, test, ...) is refused: its
// images would be judged together. `root` is where their names begin, "" where that is no one
// folder.
FolderLabels LabelsFromFolders(const std::vector<std::string>& images, const ClassIndex& classes,
                               FolderOrder order, const std::string& root);

// timm's natural_key: without case, texts and numbers in turn.
bool NaturallyBefore(const std::string& a, const std::string& b);

}  // namespace w8a8
