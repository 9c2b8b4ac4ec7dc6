// HDF5 files: written whole or not at all, equal calls give equal bytes; read with every shape,
// type and size checked before memory is allocated. One thread at a time (the library is not
// reentrant).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/half.h"

namespace w8a8 {

using Hdf5Shape = std::vector<int64_t>;
std::string Hdf5ShapeText(const Hdf5Shape& shape);  // "[3, any]", where -1 stands for any

// No dataset that we read may claim more than this, unless the caller allows it.
constexpr uint64_t kMaxDatasetBytes = uint64_t{4} << 30;

// Objects are named by absolute paths, "/sites/blocks.0.attn.qkv/counts"; missing groups on the way
// are made. Element types: int8_t, uint8_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t, float,
// double and Half (IEEE binary16: float16 in h5py), little-endian. No object carries a time. The
// file format is that of HDF5 1.8, with a seal behind it (file_seal.h). Every failure throws Error
// with the file and the object.
class Hdf5OutputFile {
 public:
  explicit Hdf5OutputFile(const std::filesystem::path& target);
  Hdf5OutputFile(Hdf5OutputFile&&) noexcept;
  Hdf5OutputFile& operator=(Hdf5OutputFile&&) noexcept;
  ~Hdf5OutputFile();  // without Commit() nothing is left behind

  // An existing group is left as it is.
  void Group(const std::string& path);

  // Row-major values; their number equals the product of `shape`.
  template <class T>
  void Write(const std::string& path, std::span<const T> values, const Hdf5Shape& shape);
  // Rank 1.
  template <class T>
  void Write(const std::string& path, const std::vector<T>& values) {
    Write<T>(path, std::span<const T>(values), {static_cast<int64_t>(values.size())});
  }
  template <class T>
  void Write(const std::string& path, const std::vector<T>& values, const Hdf5Shape& shape) {
    Write<T>(path, std::span<const T>(values), shape);
  }
  // Rank 1, UTF-8, padded with zero bytes to the longest. A string may not hold a zero byte.
  void WriteStrings(const std::string& path, std::span<const std::string> values);

  // On an existing group or dataset; "/" is the file itself. Text is UTF-8 of variable length,
  // which h5py gives as str.
  void Attribute(const std::string& object, const std::string& name, const std::string& value);
  void Attribute(const std::string& object, const std::string& name, const char* value);
  void Attribute(const std::string& object, const std::string& name, uint64_t value);
  void Attribute(const std::string& object, const std::string& name, int64_t value);
  void Attribute(const std::string& object, const std::string& name, float value);
  void Attribute(const std::string& object, const std::string& name, double value);

  // Closes the file and puts it in place. Nothing may be written afterwards.
  void Commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Opened read-only. A file that is not HDF5, is cut short or does not fit its seal throws Error;
// files without a seal (of other programs) are read with what checks the library makes.
class Hdf5InputFile {
 public:
  explicit Hdf5InputFile(const std::filesystem::path& path);
  Hdf5InputFile(Hdf5InputFile&&) noexcept;
  Hdf5InputFile& operator=(Hdf5InputFile&&) noexcept;
  ~Hdf5InputFile();

  const std::filesystem::path& path() const;
  // Whether a group or dataset stands there.
  bool Has(const std::string& object) const;
  // Names of a group's members, sorted bytewise.
  std::vector<std::string> Children(const std::string& group) const;
  Hdf5Shape ShapeOf(const std::string& dataset) const;

  // The stored type must be T exactly (either byte order); -1 in `shape` matches any extent.
  template <class T>
  std::vector<T> Read(const std::string& dataset, const Hdf5Shape& shape,
                      uint64_t max_bytes = kMaxDatasetBytes) const;
  // Rank 1, fixed or variable length. `count` -1: any number, at most 2^24.
  std::vector<std::string> ReadStrings(const std::string& dataset, int64_t count = -1) const;

  bool HasAttribute(const std::string& object, const std::string& name) const;
  // Scalars; integers of any width that fit, floats of any width. At most 1 MiB of text.
  std::string TextAttribute(const std::string& object, const std::string& name) const;
  uint64_t UnsignedAttribute(const std::string& object, const std::string& name) const;
  int64_t SignedAttribute(const std::string& object, const std::string& name) const;
  double RealAttribute(const std::string& object, const std::string& name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace w8a8
