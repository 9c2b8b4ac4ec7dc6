// `encode` in this process: options in, the tensors it wrote out.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "eval/cli/commands/encode.h"
#include "runtime/base/safetensors.h"

namespace w8a8::test {

inline std::filesystem::path WritePixels(const std::filesystem::path& file,
                                         const std::vector<int64_t>& shape,
                                         const std::vector<float>& pixels) {
  SafetensorsWriter writer;
  writer.Add("pixel_values", Dtype::kF32, shape, std::span<const float>(pixels));
  writer.Write(file);
  return file;
}

inline Options EncodeOptions(const std::filesystem::path& model,
                             const std::filesystem::path& pixels, Precision precision,
                             const std::filesystem::path& out) {
  Options options;
  options.command = "encode";
  options.model = model.string();
  options.pixels = pixels.string();
  options.precision = precision;
  options.out = out.string();
  options.device = "cpu";
  options.quiet = true;
  return options;
}

inline SafetensorsFile Encode(const Options& options) {
  RunEncode(options);
  return SafetensorsFile(options.out);
}

inline std::set<std::string> Names(const SafetensorsFile& file) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : file.tensors()) names.insert(name);
  return names;
}

inline std::vector<double> Doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace w8a8::test
