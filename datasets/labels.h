// Accepted classes of images, from a table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/class_index.h"

namespace w8a8 {

// Class indices, ascending, by image name.
using LabelsByImage = std::map<std::string, std::vector<int32_t>, std::less<>>;

struct MatchedLabels {
  LabelsByImage accepted;                // images without a label are not in it
  std::vector<std::string> unused_rows;  // whose file is none of the images
  std::vector<std::string> empty_rows;   // without an accepted class
};

class Labels {
 public:
  // `rows` by the file's name as the table has it; `source` names the table in messages.
  explicit Labels(LabelsByImage rows, std::string source = "labels");
  Labels(const Labels&) = delete;  // rows are pointed at
  Labels(Labels&&) = default;

  // The row of each image: the one of its whole name, else one whose path ends as the image's does
  // or the other way round (tables are written with other roots than image folders: "x.png",
  // "val/x.png", "/data/val/x.png"). Throws Error where two rows or two images fit each other that
  // way: x.png could be either.
  MatchedLabels Match(const std::vector<std::string>& images) const;

 private:
  using Row = LabelsByImage::value_type;
  // nullptr if there is none; rows in `taken` are another image's.
  const Row* RowEndingAs(const std::string& image, const std::set<const Row*>& taken) const;

  LabelsByImage rows_;
  std::string source_;
  std::map<std::string, std::vector<const Row*>, std::less<>> by_file_name_;
};

// A TSV with a header line: first column the file name; the column `accepted`, else the third one,
// a comma-separated set of class indices or of names (ClassIndex; a whole cell may be one name with
// commas), empty: no label. Numbers are indices, unless another class is called so, which is
// ambiguous, or there is no such index. Cells may be quoted; blank lines are passed over. Throws
// Error naming file, line and value for anything that is no class or could be several.
Labels ReadLabels(const std::filesystem::path& tsv, const ClassIndex& classes);
}  // namespace w8a8
