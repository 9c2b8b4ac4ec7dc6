// The tile instructions of AMX in plain C++, on one set of registers per thread: for tests of the
// sources that use them, on any machine. Strict where the CPU is: what it answers with an invalid
// opcode or a protection fault throws std::logic_error.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace w8a8::simde {

struct TileModel {
  static constexpr int kTiles = 8;
  static constexpr int kRows = 16;
  static constexpr int kRowBytes = 64;

  bool configured = false;
  bool swaps_operands = false;  // the planted fault: products take the signed operand as unsigned
  int64_t products = 0;         // since the thread began
  int rows[kTiles] = {};
  int row_bytes[kTiles] = {};
  uint8_t bytes[kTiles][kRows][kRowBytes] = {};

  static void Require(bool holds, const char* otherwise) {
    if (!holds) throw std::logic_error(otherwise);
  }
  void RequireTile(int tile) const {
    Require(tile >= 0 && tile < kTiles, "no such tile");
    Require(configured, "a tile is used without a configuration");
    Require(rows[tile] > 0 && row_bytes[tile] > 0, "the tile is not configured");
  }
  // c [M, 4 N bytes] += a [M, 4 K bytes] * b [K, 4 N bytes].
  void RequireProduct(int c, int a, int b) const {
    RequireTile(c);
    RequireTile(a);
    RequireTile(b);
    Require(c != a && a != b && c != b, "a product's tiles are not three");
    Require(row_bytes[c] % 4 == 0 && row_bytes[a] % 4 == 0, "rows are not of four bytes");
    Require(rows[a] == rows[c], "the sums' rows are not the left operand's");
    Require(row_bytes[b] == row_bytes[c], "the sums' columns are not the right operand's");
    Require(rows[b] == row_bytes[a] / 4, "the operands' depths differ");
  }

  void Configure(const void* from) {
    uint8_t config[64];
    std::memcpy(config, from, sizeof config);
    Require(config[0] == 1, "no palette but 1");
    Require(config[1] == 0, "begins within a tile");
    for (int i = 2; i < 16; ++i) Require(config[i] == 0, "reserved bytes are set");
    for (int tile = 0; tile < 16; ++tile) {
      uint16_t width;
      std::memcpy(&width, config + 16 + 2 * tile, sizeof width);
      const int height = config[48 + tile];
      Require(tile < kTiles || (width == 0 && height == 0), "more tiles than there are");
      Require(width <= kRowBytes && height <= kRows, "a tile is too large");
      Require((width == 0) == (height == 0), "a tile has only one side");
      if (tile >= kTiles) continue;
      rows[tile] = height;
      row_bytes[tile] = width;
    }
    std::memset(bytes, 0, sizeof bytes);
    configured = true;
  }
  // What was in the tiles must not be seen again.
  void Release() {
    configured = false;
    std::memset(rows, 0, sizeof rows);
    std::memset(row_bytes, 0, sizeof row_bytes);
    std::memset(bytes, 0xa5, sizeof bytes);
  }

  void Load(int tile, const void* base, int64_t stride) {
    RequireTile(tile);
    std::memset(bytes[tile], 0, sizeof bytes[tile]);
    for (int r = 0; r < rows[tile]; ++r) {
      std::memcpy(bytes[tile][r], static_cast<const uint8_t*>(base) + r * stride,
                  static_cast<size_t>(row_bytes[tile]));
    }
  }
  void Store(int tile, void* base, int64_t stride) const {
    RequireTile(tile);
    for (int r = 0; r < rows[tile]; ++r) {
      std::memcpy(static_cast<uint8_t*>(base) + r * stride, bytes[tile][r],
                  static_cast<size_t>(row_bytes[tile]));
    }
  }
  void Zero(int tile) {
    RequireTile(tile);
    std::memset(bytes[tile], 0, sizeof bytes[tile]);
  }

  // Sums of four products of bytes, modulo 2^32.
  template <class Left, class Right>
  void MultiplyBytes(int c, int a, int b) {
    RequireProduct(c, a, b);
    ++products;
    for (int m = 0; m < rows[c]; ++m) {
      for (int n = 0; n < row_bytes[c] / 4; ++n) {
        uint32_t sum;
        std::memcpy(&sum, &bytes[c][m][4 * n], sizeof sum);
        for (int k = 0; k < row_bytes[a]; ++k) {
          const uint8_t left = bytes[a][m][k], right = bytes[b][k / 4][4 * n + k % 4];
          const int product = swaps_operands ? static_cast<Right>(left) * static_cast<Left>(right)
                                             : static_cast<Left>(left) * static_cast<Right>(right);
          sum += static_cast<uint32_t>(product);
        }
        std::memcpy(&bytes[c][m][4 * n], &sum, sizeof sum);
      }
    }
  }

  // Sums of two products of 2-byte values: binary32 FMAs from 0 in two chains, added to one another
  // and then to the sum. Subnormal results become 0.
  template <class ToFloat>
  void MultiplyPairs(int c, int a, int b, const ToFloat& to_float) {
    RequireProduct(c, a, b);
    ++products;
    for (int m = 0; m < rows[c]; ++m) {
      for (int n = 0; n < row_bytes[c] / 4; ++n) {
        float chains[2] = {0.0f, 0.0f}, sum;
        for (int k = 0; k < row_bytes[a] / 2; ++k) {
          uint16_t left, right;
          std::memcpy(&left, &bytes[a][m][2 * k], sizeof left);
          std::memcpy(&right, &bytes[b][k / 2][4 * n + k % 2 * 2], sizeof right);
          float& chain = chains[k % 2];
          chain = Flushed(__builtin_fmaf(to_float(left), to_float(right), chain));
        }
        std::memcpy(&sum, &bytes[c][m][4 * n], sizeof sum);
        sum = Flushed(sum + Flushed(chains[0] + chains[1]));
        std::memcpy(&bytes[c][m][4 * n], &sum, sizeof sum);
      }
    }
  }
  static float Flushed(float value) {
    return value < 0x1p-126f && value > -0x1p-126f ? 0.0f : value;
  }
  static float OfBf16(uint16_t bits) {  // subnormal operands are 0, too
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return Flushed(value);
  }
  static uint16_t ToBf16(float value) {  // to the nearest, ties to even; a NaN is quieted
    uint32_t bits;
    value = Flushed(value);
    std::memcpy(&bits, &value, sizeof bits);
    if (value != value) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  static float OfHalf(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float value = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-24f
                                : static_cast<float>(1024 + mantissa) * 0x1p-25f *
                                      static_cast<float>(uint32_t{1} << exponent);
    if (exponent == 31) value = mantissa == 0 ? __builtin_inff() : __builtin_nanf("");
    return bits >> 15 != 0 ? -value : value;
  }
};

inline TileModel& Tiles() {
  static thread_local TileModel tiles;
  return tiles;
}

}  // namespace w8a8::simde

inline void _tile_loadconfig(const void* config) { w8a8::simde::Tiles().Configure(config); }
inline void _tile_release() { w8a8::simde::Tiles().Release(); }
inline void _tile_zero(int tile) { w8a8::simde::Tiles().Zero(tile); }
inline void _tile_loadd(int tile, const void* base, int64_t stride) {
  w8a8::simde::Tiles().Load(tile, base, stride);
}
inline void _tile_stream_loadd(int tile, const void* base, int64_t stride) {
  w8a8::simde::Tiles().Load(tile, base, stride);
}
inline void _tile_stored(int tile, void* base, int64_t stride) {
  w8a8::simde::Tiles().Store(tile, base, stride);
}
inline void _tile_dpbusd(int sums, int left, int right) {
  w8a8::simde::Tiles().MultiplyBytes<uint8_t, int8_t>(sums, left, right);
}
inline void _tile_dpbssd(int sums, int left, int right) {
  w8a8::simde::Tiles().MultiplyBytes<int8_t, int8_t>(sums, left, right);
}
inline void _tile_dpbf16ps(int sums, int left, int right) {
  w8a8::simde::Tiles().MultiplyPairs(sums, left, right, w8a8::simde::TileModel::OfBf16);
}
// Instead of the bytes of the instruction (products_amx.h).
#define W8A8_TILE_DPFP16PS(sums, left, right) \
  w8a8::simde::Tiles().MultiplyPairs(sums, left, right, w8a8::simde::TileModel::OfHalf)
