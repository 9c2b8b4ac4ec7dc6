// Codes of 1 to 8 bits in 32-bit words, as compressed-tensors stores them ("pack-quantized"). A
// signed code q of b bits is stored as u = q + 2^(b - 1), low bits first; the bits of a word behind
// the last code are 0, which is not the code 0.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/mat_view.h"

namespace w8a8 {

// Where code i of a row lies. The two differ for 3, 5, 6 and 7 bits only.
enum class PackedLayout : uint8_t {
  kDense,    // bits [i b, i b + b) of the row: a code may begin in one word and end in the next
  kAligned,  // lane i mod 32 / b of word i / (32 / b): compressed-tensors before 0.18
};

// The words that `codes` codes of `bits` bits take.
int64_t PackedWords(int64_t codes, int bits, PackedLayout layout);

// The layout in which `codes` codes take `words` words; dense where both do. Throws Error naming
// the tensor `name` where neither does.
PackedLayout PackedLayoutOf(const std::string& name, int64_t words, int64_t codes, int bits);

// Each row of `codes` [rows, cols] by itself: [rows, PackedWords(cols)]. Codes within
// [-2^(bits - 1), 2^(bits - 1) - 1].
std::vector<int32_t> PackRows(MatView<const int8_t> codes, int bits,
                              PackedLayout layout = PackedLayout::kDense);
// Each column by itself, as zero points of weights are stored: [rows, cols] to
// [PackedWords(rows), cols].
std::vector<int32_t> PackColumns(MatView<const int8_t> codes, int bits,
                                 PackedLayout layout = PackedLayout::kDense);

// The codes that PackRows packed, [words.rows, cols]. Throws Error naming the tensor `name` where
// the words are too many or too few for `cols` codes, or a bit behind the last code is set: such
// words hold something else, or are of the other layout.
std::vector<int8_t> UnpackRows(const std::string& name, MatView<const int32_t> words, int64_t cols,
                               int bits, PackedLayout layout);
// The same for PackColumns: [rows, words.cols].
std::vector<int8_t> UnpackColumns(const std::string& name, MatView<const int32_t> words,
                                  int64_t rows, int bits, PackedLayout layout);

}  // namespace w8a8
