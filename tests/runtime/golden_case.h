// One golden of scripts/goldens/encoder_goldens.py with the checkpoint and pixels it was made of.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/base/safetensors.h"
#include "tests/runtime/encode_support.h"

namespace w8a8::test {

struct GoldenCase {
  // Writes the checkpoint and the pixels into a scratch folder, which goes with this object: the
  // widest encoder has half a GB of weights.
  explicit GoldenCase(const std::string& case_name);
  ~GoldenCase();
  GoldenCase(const GoldenCase&) = delete;
  GoldenCase& operator=(const GoldenCase&) = delete;

  const std::string& Metadata(const std::string& key) const { return golden.metadata().at(key); }

  // `encode` of the checkpoint, with taps on `sites`.
  SafetensorsFile Run(Precision precision, const std::vector<std::string>& sites = {},
                      SlotStorage residual = SlotStorage::kHalf) const;

  // Our FP16 error over what torch's own FP16 model makes, the worst over all stored tensors, each
  // printed.
  double WorstShareOfTorch(const SafetensorsFile& features) const;

  std::string name;
  SafetensorsFile golden;
  std::filesystem::path folder;
  std::filesystem::path model = folder / "model";
  std::filesystem::path pixels = folder / "pixels.safetensors";
};

}  // namespace w8a8::test
