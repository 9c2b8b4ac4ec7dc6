// The JSON header of a safetensors file, parsed and checked against the size of its data section.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/safetensors.h"

namespace w8a8 {

// The reference reader's bound on the header, and ours on what it may hold.
constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
constexpr size_t kMaxSafetensorsTensors = 1'000'000;
constexpr size_t kMaxSafetensorsRank = 32;
constexpr int kMaxSafetensorsNesting = 8;

struct SafetensorsHeader {
  struct Tensor {
    Dtype dtype = Dtype::kF32;
    std::vector<int64_t> shape;
    uint64_t begin = 0;  // bytes from the start of the data section
    uint64_t end = 0;
  };
  std::map<std::string, Tensor, std::less<>> tensors;
  std::map<std::string, std::string> metadata;
};

// Parses `json` (the whole header, padding included) and checks that the tensors tile a data
// section of `data_bytes` bytes without hole or overlap. Throws Error; `file` names the file in its
// message.
SafetensorsHeader ParseSafetensorsHeader(std::string_view json, uint64_t data_bytes,
                                         const std::string& file);

std::optional<Dtype> DtypeFromName(std::string_view name);

// A tensor's name made safe to print: at most 200 bytes, control characters and bytes outside
// ASCII as '?'.
std::string PrintableName(std::string_view name);

}  // namespace w8a8
