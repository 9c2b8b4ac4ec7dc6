#include "quant/bit_packing.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr int64_t kWordBits = 32;

// A row or a column of a matrix.
template <class T>
struct Line {
  T* data;
  int64_t stride;
  T& operator[](int64_t i) const { return data[i * stride]; }
};

struct Packing {
  int bits;
  PackedLayout layout;

  int64_t lanes() const { return kWordBits / bits; }
  bool dense() const { return layout == PackedLayout::kDense; }
  uint32_t mask() const { return (1u << bits) - 1; }
  int32_t offset() const { return 1 << (bits - 1); }
  // Of the lowest bit of code i, counted from the row's first word.
  int64_t Bit(int64_t i) const {
    return dense() ? i * bits : i / lanes() * kWordBits + i % lanes() * bits;
  }
  // The bits of a word that hold codes, where the row holds `codes` of them.
  uint32_t Used(int64_t word, int64_t codes) const {
    const int64_t used = dense() ? std::min(kWordBits, codes * bits - word * kWordBits)
                                 : std::min(lanes(), codes - word * lanes()) * bits;
    return used == kWordBits ? ~0u : (1u << used) - 1;
  }
};

void PackLine(Line<const int8_t> codes, int64_t count, Packing packing, Line<int32_t> words) {
  for (int64_t i = 0; i < count; ++i) {
    const auto code = static_cast<uint32_t>(codes[i] + packing.offset());
    W8A8_CHECK(code <= packing.mask());
    const int64_t bit = packing.Bit(i);
    const int64_t word = bit / kWordBits;
    const auto wide = static_cast<uint64_t>(code) << (bit % kWordBits);
    words[word] |= static_cast<int32_t>(wide);
    if (wide >> kWordBits != 0) words[word + 1] |= static_cast<int32_t>(wide >> kWordBits);
  }
}

void UnpackLine(Line<const int32_t> words, int64_t count, Packing packing, Line<int8_t> codes) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t bit = packing.Bit(i);
    const int64_t word = bit / kWordBits, shift = bit % kWordBits;
    uint64_t wide = static_cast<uint32_t>(words[word]);
    if (shift + packing.bits > kWordBits) {
      wide |= static_cast<uint64_t>(static_cast<uint32_t>(words[word + 1])) << kWordBits;
    }
    const auto code = static_cast<uint32_t>(wide >> shift) & packing.mask();
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(code) - packing.offset());
  }
}

// Also where both layouts are as wide, so that the bits behind the last code tell them apart.
void CheckBitsBehind(const std::string& name, Line<const int32_t> words, int64_t count,
                     Packing packing) {
  const int64_t last = PackedWords(count, packing.bits, packing.layout);
  for (int64_t w = 0; w < last; ++w) {
    const auto stray = static_cast<uint32_t>(words[w]) & ~packing.Used(w, count);
    if (stray == 0) continue;
    const bool one_layout = kWordBits % packing.bits == 0;
    Fail(
        "{}: word {} is {:08X}, but only the bits {:08X} hold codes ({} codes of {} bits); the "
        "others must be 0.{}",
        name, w, static_cast<uint32_t>(words[w]), packing.Used(w, count), count, packing.bits,
        one_layout ? ""
                   : " The layout may be the old one, of compressed-tensors before 0.18, where a "
                     "code never spans two words: save the checkpoint with 0.18 or newer.");
  }
}

void CheckWidth(const std::string& name, int64_t words, int64_t codes, Packing packing) {
  const int64_t wanted = PackedWords(codes, packing.bits, packing.layout);
  if (words == wanted) return;
  Fail("{}: {} codes of {} bits take {} words in the {} layout; there are {}.", name, codes,
       packing.bits, wanted, packing.dense() ? "dense" : "old element-aligned", words);
}

}  // namespace

int64_t PackedWords(int64_t codes, int bits, PackedLayout layout) {
  W8A8_CHECK(bits >= 1 && bits <= 8);
  if (layout == PackedLayout::kDense) return (codes * bits + kWordBits - 1) / kWordBits;
  const int64_t lanes = kWordBits / bits;
  return (codes + lanes - 1) / lanes;
}

PackedLayout PackedLayoutOf(const std::string& name, int64_t words, int64_t codes, int bits) {
  for (const PackedLayout layout : {PackedLayout::kDense, PackedLayout::kAligned}) {
    if (words == PackedWords(codes, bits, layout)) return layout;
  }
  Fail(
      "{}: rows of {} words; {} codes of {} bits take {} words (or {} in the old element-aligned "
      "layout).",
      name, words, codes, bits, PackedWords(codes, bits, PackedLayout::kDense),
      PackedWords(codes, bits, PackedLayout::kAligned));
}

std::vector<int32_t> PackRows(MatView<const int8_t> codes, int bits, PackedLayout layout) {
  const int64_t width = PackedWords(codes.cols, bits, layout);
  std::vector<int32_t> words(static_cast<size_t>(codes.rows * width));
  for (int64_t r = 0; r < codes.rows; ++r) {
    PackLine({codes.row(r), 1}, codes.cols, {bits, layout}, {words.data() + r * width, 1});
  }
  return words;
}

std::vector<int32_t> PackColumns(MatView<const int8_t> codes, int bits, PackedLayout layout) {
  const int64_t height = PackedWords(codes.rows, bits, layout);
  std::vector<int32_t> words(static_cast<size_t>(height * codes.cols));
  for (int64_t c = 0; c < codes.cols; ++c) {
    PackLine({codes.data + c, codes.stride}, codes.rows, {bits, layout},
             {words.data() + c, codes.cols});
  }
  return words;
}

std::vector<int8_t> UnpackRows(const std::string& name, MatView<const int32_t> words, int64_t cols,
                               int bits, PackedLayout layout) {
  const Packing packing{bits, layout};
  CheckWidth(name, words.cols, cols, packing);
  std::vector<int8_t> codes(static_cast<size_t>(words.rows * cols));
  for (int64_t r = 0; r < words.rows; ++r) {
    const Line<const int32_t> row{words.row(r), 1};
    CheckBitsBehind(name, row, cols, packing);
    UnpackLine(row, cols, packing, {codes.data() + r * cols, 1});
  }
  return codes;
}

std::vector<int8_t> UnpackColumns(const std::string& name, MatView<const int32_t> words,
                                  int64_t rows, int bits, PackedLayout layout) {
  const Packing packing{bits, layout};
  CheckWidth(name, words.rows, rows, packing);
  std::vector<int8_t> codes(static_cast<size_t>(rows * words.cols));
  for (int64_t c = 0; c < words.cols; ++c) {
    const Line<const int32_t> column{words.data + c, words.stride};
    CheckBitsBehind(name, column, rows, packing);
    UnpackLine(column, rows, packing, {codes.data() + c, words.cols});
  }
  return codes;
}

}  // namespace w8a8
