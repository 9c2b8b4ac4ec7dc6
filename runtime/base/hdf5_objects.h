// Every dataset and attribute of an HDF5 file, whatever its names and types: for programs that
// compare files without knowing what they hold.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/hdf5_file.h"

namespace w8a8 {

struct Hdf5Object {
  std::string path;  // "/sites/blocks.0.attn.qkv/counts"; an attribute: "/sites/x@rows", "/@seed"
  std::string type;  // "uint64", "float16", "text"; "opaque" for what this project never writes
  Hdf5Shape shape;   // {} for one value
};

// Opened with the checks of Hdf5InputFile. Throws Error for a file that cannot be walked.
class Hdf5Objects {
 public:
  explicit Hdf5Objects(const std::filesystem::path& path);
  Hdf5Objects(Hdf5Objects&&) noexcept;
  ~Hdf5Objects();

  const std::vector<Hdf5Object>& all() const;  // bytewise order of the paths

  // The values as they are stored; texts one after the other, each with a zero byte behind it.
  // Throws Error for more than kMaxDatasetBytes.
  std::vector<std::byte> Bytes(const Hdf5Object& object) const;
  // The values widened to binary64; empty for text and opaque types.
  std::vector<double> Numbers(const Hdf5Object& object) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace w8a8
