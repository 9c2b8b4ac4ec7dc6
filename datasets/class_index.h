// The classes of a model by what people call them: the names of its config, ImageNet's synsets.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace w8a8 {

struct ClassName {
  int64_t index = 0;  // row of the classifier
  std::string name;
  std::string description;  // of a name that is a key ("n01440764"); empty: none
};

// A whole number in digits only, as an index.
bool ParseClassNumber(std::string_view text, int64_t* number);

// Whether it is what transformers calls a class that has no name: LABEL_3.
bool IsPlaceholder(const ClassName& name);

class ClassIndex {
 public:
  // `classes` rows of a classifier, of which `names` may name all, some or none. Where they are the
  // 1,000 of ImageNet (by their names, or without any), their synsets are names too.
  ClassIndex(int64_t classes, const std::vector<ClassName>& names);

  int64_t classes() const { return classes_; }
  // Whether the model names its classes: transformers' placeholders LABEL_0, LABEL_1, ... do not,
  // and are found without being given.
  bool named() const { return named_; }
  const std::vector<std::string>& names() const { return names_; }  // as given; for suggestions

  // The classes that `text` names, ascending: by the whole name, else by synset or description,
  // else by the name in letters and digits only ("Great_White_shark"), else by one of the synonyms
  // that commas part ("tench" of "tench, Tinca tinca"). Several: it could mean either. None: it
  // names no class. A number is no name, unless a class is called so.
  std::vector<int32_t> Find(std::string_view text) const;

 private:
  static constexpr size_t kWays = 4;
  using Way = std::map<std::string, std::set<int32_t>, std::less<>>;

  void AddImageNet();
  void AddName(const ClassName& name);

  int64_t classes_;
  bool named_ = false;
  std::vector<std::string> names_;
  std::array<Way, kWays> ways_;  // the closest first
};

}  // namespace w8a8
