// The cubic filter of image and table resizing.
#pragma once

namespace w8a8 {

// Keys' cubic convolution at a distance of x samples, in the form that Pillow and torch evaluate;
// zero from 2 on. Pillow and antialiased torch take a = -0.5, plain torch -0.75.
constexpr double KeysCubic(double x, double a) {
  x = x < 0.0 ? -x : x;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

}  // namespace w8a8
