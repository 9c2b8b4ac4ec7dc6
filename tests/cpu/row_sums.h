// numerics.md, "Row sums", as written there.
#pragma once

namespace w8a8::test {

// The tree over the 256 partial sums of a row, of which element k went into sum k mod 256;
// overwrites them.
inline float CombineRowSums(float (&s)[256]) {
  for (const int h : {4, 2, 1}) {
    for (int i = 0; i < 256; ++i) {
      if (i % 8 < h) s[i] += s[i + h];
    }
  }
  for (const int h : {128, 64, 32, 16, 8}) {
    for (int i = 0; i < h; i += 8) s[i] += s[i + h];
  }
  return s[0];
}

}  // namespace w8a8::test
