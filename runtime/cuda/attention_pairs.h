// Keys and values in shared memory, as tensor cores take FP16 or BF16: two a word. Included by
// kernel files.
#pragma once

#include <cstdint>

#include "runtime/cuda/block.h"

namespace w8a8 {

constexpr int kPairThreads = 128;  // of a block
constexpr int kPairKeys = 64;      // in shared memory at a time

// In shared memory, two values a word: keys row by row, values so that a word has a column of two
// keys. The strides spread the lanes of a warp over all banks.
struct PairTiles {
  uint32_t* k;  // [kPairKeys, PairKeyStride()]
  uint32_t* v;  // [kPairKeys / 2, PairValueStride()]
};
constexpr int PairKeyStride(int steps) { return steps * 8 + 4; }
constexpr int PairValueStride(int steps) { return steps * 16 + 8; }

// As an operand holds it.
template <bool kBFloat16>
W8A8_DEVICE uint32_t PairBits(float value) {
  return kBFloat16 ? ToBFloat16(value).bits : Narrow(value).bits;
}
template <bool kBFloat16>
W8A8_DEVICE uint32_t PairBits(Half value) {
  return kBFloat16 ? ToBFloat16(Widen(value)).bits : value.bits;
}

// Rows of one image and head; `mask` leaves out those where it is 0.
struct RowsOfHead {
  const Half* from;
  int64_t stride, rows;
  const uint8_t* mask;
  int head_dim;
};

// Eight values of a row as four words; 0 past head_dim and where there is no row.
template <bool kBFloat16>
W8A8_DEVICE Vec16 LoadEight(const RowsOfHead& all, int64_t row, int first, bool aligned) {
  Vec16 words{};
  if (row >= all.rows || (all.mask != nullptr && Load(&all.mask[row]) == 0)) return words;
  const Half* x = all.from + row * all.stride + first;
  if (aligned && first < all.head_dim) {
    words = Load(reinterpret_cast<const Vec16*>(x));
    if constexpr (kBFloat16) {
      for (uint32_t& word : words.words) {
        word = PairBits<true>(Half{static_cast<uint16_t>(word)}) |
               PairBits<true>(Half{static_cast<uint16_t>(word >> 16)}) << 16;
      }
    }
  }
  if (aligned) return words;
  for (int i = 0; i < 8; ++i) {
    if (first + i >= all.head_dim) continue;
    words.words[i / 2] |= PairBits<kBFloat16>(Load(&x[i])) << (16 * (i % 2));
  }
  return words;
}

template <int kSteps, bool kBFloat16>
W8A8_DEVICE void LoadKeys(const RowsOfHead& k, int64_t first_key, bool aligned, uint32_t* to) {
  constexpr int kPieces = kSteps * 2;
  for (int i = ThreadIndex(); i < kPairKeys * kPieces; i += kPairThreads) {
    const int key = i / kPieces, piece = i % kPieces;
    Store(reinterpret_cast<Vec16*>(&to[key * PairKeyStride(kSteps) + 4 * piece]),
          LoadEight<kBFloat16>(k, first_key + key, 8 * piece, aligned));
  }
}

template <int kSteps, bool kBFloat16>
W8A8_DEVICE void LoadValues(const RowsOfHead& v, int64_t first_key, bool aligned, uint32_t* to) {
  constexpr int kPieces = kSteps * 2;
  for (int i = ThreadIndex(); i < kPairKeys / 2 * kPieces; i += kPairThreads) {
    const int pair = i / kPieces, piece = i % kPieces;
    const Vec16 even = LoadEight<kBFloat16>(v, first_key + 2 * pair, 8 * piece, aligned);
    const Vec16 odd = LoadEight<kBFloat16>(v, first_key + 2 * pair + 1, 8 * piece, aligned);
    for (int part = 0; part < 2; ++part) {
      Vec16 words;
      for (int w = 0; w < 4; ++w) {
        const uint32_t a = even.words[2 * part + w / 2], b = odd.words[2 * part + w / 2];
        words.words[w] = w % 2 == 0 ? (a & 0xffffu) | b << 16 : a >> 16 | (b & 0xffff0000u);
      }
      Store(reinterpret_cast<Vec16*>(&to[pair * PairValueStride(kSteps) + 8 * piece + 4 * part]),
            words);
    }
  }
}

}  // namespace w8a8
