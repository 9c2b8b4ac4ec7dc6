// What the image tests share: golden tables, images made from the integer hash, digests.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "datasets/rgb_image.h"

namespace w8a8::test {

using GoldenRow = std::map<std::string, std::string>;

// tests/golden/datasets/<name>, a TSV with a header line.
std::vector<GoldenRow> ReadGoldenTable(const std::string& name);

// Byte i is the top byte of CounterHash(seed, i), as scripts/goldens/resample_goldens.py has it.
RgbImage HashImage(int width, int height, uint64_t seed);

template <class T>
std::string Digest(const std::vector<T>& values);

std::string SizeText(const RgbImage& image);  // "640x480"

void WriteText(const std::filesystem::path& path, const std::string& text);
void WriteBytes(const std::filesystem::path& path, std::span<const uint8_t> bytes);
// An image file; the format goes by the extension. Pixels are RGB.
void WriteImage(const std::filesystem::path& path, const RgbImage& image);

}  // namespace w8a8::test
