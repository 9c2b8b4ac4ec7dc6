// Reading and writing safetensors files (format: github.com/huggingface/safetensors, README and
// tensor.rs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/half.h"

namespace w8a8 {

// The dtypes of the format that are whole bytes wide, plus the sub-byte ones, which can be listed
// but not read as elements.
enum class Dtype : uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};
std::string_view DtypeName(Dtype dtype);  // as the file spells it: "F16", "BF16", ...
int DtypeBits(Dtype dtype);

// One tensor inside a mapped file. `bytes` need not be aligned: copy, never cast.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;  // row-major; {} is a scalar
  std::span<const std::byte> bytes;

  int64_t elements() const;
  std::string ShapeText() const;  // "[197, 192]"
};

// A memory-mapped, fully validated safetensors file. Every check of the reference reader is made,
// and the stricter ones: leading '{', no duplicate or empty names, bounded nesting, tensor count
// and rank, 64-bit integers without double rounding. Throws Error naming file, tensor and value.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  const std::filesystem::path& path() const;
  const std::map<std::string, TensorView, std::less<>>& tensors() const;
  const std::map<std::string, std::string>& metadata() const;
  // nullptr if absent.
  const TensorView* Find(std::string_view name) const;
  // Throws Error that lists close names if absent.
  const TensorView& Get(std::string_view name) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Gives the memory of mapped bytes back to the system; they come from the file when they are read
// again. For readers that keep copies: a mapped checkpoint of 11 GB otherwise counts as 11 GB of
// this process. Only for `bytes` of a SafetensorsFile's tensor, or a part of them.
void ReleasePages(std::span<const std::byte> mapped);

// Elements of a tensor. F32, F16 and BF16 convert to float exactly (FloatValues); the others demand
// the exact dtype. All throw Error naming the tensor on a wrong dtype.
std::vector<float> FloatValues(const TensorView& tensor);
std::vector<Half> HalfValues(const TensorView& tensor);      // F16 only
std::vector<int8_t> Int8Values(const TensorView& tensor);    // I8 only
std::vector<int32_t> Int32Values(const TensorView& tensor);  // I32 only
std::vector<int64_t> Int64Values(const TensorView& tensor);  // I64 only

// Collects tensors and writes one file: header padded to 8 bytes with spaces, tensors ordered by
// dtype alignment (largest first) and then name, as the reference writer does. The file appears
// whole or not at all. Add() copies nothing: data must live until Write().
class SafetensorsWriter {
 public:
  using Append = std::function<void(std::span<const std::byte>)>;
  // Hands a tensor's bytes to `append`, in order and in any pieces.
  using Source = std::function<void(const Append& append)>;

  // `source` is called by Write(), for one tensor after the other: no more than one needs memory.
  void Add(std::string name, Dtype dtype, std::vector<int64_t> shape, Source source);
  void Add(std::string name, Dtype dtype, std::vector<int64_t> shape,
           std::span<const std::byte> bytes);
  template <class T>
  void Add(std::string name, Dtype dtype, std::vector<int64_t> shape, std::span<const T> values) {
    Add(std::move(name), dtype, std::move(shape), std::as_bytes(values));
  }
  void SetMetadata(std::string key, std::string value);
  void Write(const std::filesystem::path& path) const;
  // What Write() would write.
  std::string Bytes() const;

 private:
  struct Entry {
    std::string name;
    Dtype dtype;
    std::vector<int64_t> shape;
    uint64_t bytes;
    Source source;
  };

  // By alignment of the dtype, which is how Dtype is ordered, then by name: as the reference does.
  std::vector<const Entry*> InOrder() const;
  // The whole file, piece after piece; `name` is for messages.
  void Send(const std::string& name, const Append& append) const;
  // The JSON text of the entries in `order`, padded with blanks to a multiple of 8 bytes.
  std::string Header(const std::vector<const Entry*>& order) const;

  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace w8a8
