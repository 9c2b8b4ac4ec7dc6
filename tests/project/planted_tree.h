// A small source tree made for one test.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/environment.h"

namespace w8a8::test {

class PlantedTree {
 public:
  PlantedTree() : root_(ScratchFolder("planted")) {}
  const std::filesystem::path& root() const { return root_; }
  // Writes the file over what was there.
  void Plant(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file, std::ios::trunc) << text;
  }

 private:
  std::filesystem::path root_;
};

}  // namespace w8a8::test
