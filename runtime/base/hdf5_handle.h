// What the two halves of hdf5_file.h share: an owning handle, the element types on disk and errors
// in the project's words. Included by hdf5_*.cc and hdf5_driver.h only.
#pragma once

#include <hdf5.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/half.h"

namespace w8a8::hdf5 {

static_assert(std::endian::native == std::endian::little, "types on disk serve as memory types");

// Owns one HDF5 identifier. Negative: none.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { Reset(); }

  hid_t id() const { return id_; }
  bool valid() const { return id_ >= 0; }
  // Negative if the library reports a failure, which for a file means that data was lost.
  herr_t Reset() { return id_ >= 0 ? close_(std::exchange(id_, -1)) : 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// Stops the library from printing its error stack; ours is the only message.
void Silence();
// The library's innermost reason for the last failure, or "no reason given".
std::string LastReason();

[[noreturn]] inline void FailAt(const std::string& file, const std::string& object,
                                std::string_view problem) {
  const std::string reason = LastReason();
  Fail("{}: '{}' {} (HDF5: {}).", file, object, problem, reason);
}

// An existing file, for reading. Throws Error for one that is missing, is not HDF5, or whose seal
// (file_seal.h) does not fit.
Handle OpenReadOnly(const std::filesystem::path& path);

// 16 bits, sign at 15, exponent of 5 bits (bias 15) at 10, mantissa of 10 bits: what h5py and numpy
// know as float16. HDF5 1.10 has no name for it.
Handle HalfType();
// UTF-8; `bytes` H5T_VARIABLE or the padded length.
Handle TextType(size_t bytes);

// A little-endian type, owned.
template <class T>
Handle ElementType() {
  const auto copy = [](hid_t type) { return Handle(H5Tcopy(type), H5Tclose); };
  if constexpr (std::is_same_v<T, Half>) return HalfType();
  if constexpr (std::is_same_v<T, int8_t>) return copy(H5T_STD_I8LE);
  if constexpr (std::is_same_v<T, uint8_t>) return copy(H5T_STD_U8LE);
  if constexpr (std::is_same_v<T, uint16_t>) return copy(H5T_STD_U16LE);
  if constexpr (std::is_same_v<T, int32_t>) return copy(H5T_STD_I32LE);
  if constexpr (std::is_same_v<T, uint32_t>) return copy(H5T_STD_U32LE);
  if constexpr (std::is_same_v<T, int64_t>) return copy(H5T_STD_I64LE);
  if constexpr (std::is_same_v<T, uint64_t>) return copy(H5T_STD_U64LE);
  if constexpr (std::is_same_v<T, float>) return copy(H5T_IEEE_F32LE);
  if constexpr (std::is_same_v<T, double>) return copy(H5T_IEEE_F64LE);
}

template <class T>
constexpr std::string_view TypeName() {
  if constexpr (std::is_same_v<T, Half>) return "float16";
  if constexpr (std::is_same_v<T, int8_t>) return "int8";
  if constexpr (std::is_same_v<T, uint8_t>) return "uint8";
  if constexpr (std::is_same_v<T, uint16_t>) return "uint16";
  if constexpr (std::is_same_v<T, int32_t>) return "int32";
  if constexpr (std::is_same_v<T, uint32_t>) return "uint32";
  if constexpr (std::is_same_v<T, int64_t>) return "int64";
  if constexpr (std::is_same_v<T, uint64_t>) return "uint64";
  if constexpr (std::is_same_v<T, float>) return "float32";
  if constexpr (std::is_same_v<T, double>) return "float64";
}

// The element types of hdf5_file.h, for explicit instantiation.
#define W8A8_FOR_EACH_HDF5_TYPE(X) \
  X(int8_t)                        \
  X(uint8_t) X(uint16_t) X(int32_t) X(uint32_t) X(int64_t) X(uint64_t) X(float) X(double) X(Half)

}  // namespace w8a8::hdf5
