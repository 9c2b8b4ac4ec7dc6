// Who a sample is, by keys that are the same in every process and for every order of the images.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace w8a8 {

struct ImageKey {
  std::string sha256;  // of the file's bytes; empty where the input is no file
  std::string name;
  int64_t copy = 0;  // how many of the same name come before it: a list may name a file twice
  friend auto operator<=>(const ImageKey&, const ImageKey&) = default;
};

// An image, or one of the views (tiles and thumbnail) that a tiled image becomes.
struct SampleKey {
  ImageKey image;
  int64_t view = 0;
  friend auto operator<=>(const SampleKey&, const SampleKey&) = default;
};

// Of each of `names`, how many of those before it are equal.
std::vector<int64_t> CountCopies(std::span<const std::string> names);

// Records of a sample share its key: there are as many as meters.
using SamplePtr = std::shared_ptr<const SampleKey>;

// A sample on its way through the encoder.
struct Sample {
  SamplePtr key;
  // The view that answers for its image in the task: the whole image, which comes last.
  bool whole = true;
};

}  // namespace w8a8
