// Accepted classes of images: from a table or from class sub-folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/image_set.h"

namespace w8a8 {

class Labels {
 public:
  // Class indices, ascending, by image name as the table or the folder has it.
  explicit Labels(std::map<std::string, std::vector<int32_t>, std::less<>> accepted)
      : accepted_(std::move(accepted)) {}
  Labels() = default;

  bool empty() const { return accepted_.empty(); }
  // nullptr if the image has no label. The whole relative name counts first, then the file name
  // alone (tables are often written without the folder).
  const std::vector<int32_t>* Find(std::string_view image_name) const;
  // Throws Error naming the first class outside [0, classes).
  void CheckClasses(int64_t classes) const;

 private:
  std::map<std::string, std::vector<int32_t>, std::less<>> accepted_;
};

// A TSV with a header line: first column the file name; the column `accepted`, else the third one,
// a comma-separated set of class indices (empty: no label). Throws Error naming file and line.
Labels ReadLabels(const std::filesystem::path& tsv);

// Class sub-folders by name: the first folder of an image's name is its class, images without one
// have no label. `unknown_folder` is the first folder that is no class; there are no labels then.
struct NamedFolders {
  Labels labels;
  std::string unknown_folder;
};
NamedFolders LabelsFromNamedFolders(const std::vector<ImageFile>& files,
                                    const std::vector<std::string>& class_names);

// Class sub-folders: where every image lies in a sub-folder, the first folder of its name is its
// class. Folders named by numbers are those indices; otherwise, where there are exactly `classes`
// folders, they are numbered in bytewise order (the ImageNet layout). Empty in every other case.
Labels LabelsFromFolders(const std::vector<ImageFile>& files, int64_t classes);

}  // namespace w8a8
