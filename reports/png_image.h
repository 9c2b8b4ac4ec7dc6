// Pictures inside the page: pixels into a PNG as a data URI, with nothing to be fetched.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "reports/site_card.h"

namespace w8a8 {

// "data:image/png;base64,..." of an 8-bit RGB picture, [height, width, 3].
std::string PngDataUri(std::span<const uint8_t> rgb, int64_t height, int64_t width);

// The map in OpenCV's colour map "inferno". Each factor of sqrt(2) is a step of colour, kMapSteps
// of them below the largest magnitude, and everything smaller is black: a smooth ramp would show
// noise that nobody can read and take four times the bytes.
constexpr int kMapSteps = 24;
std::string OutlierMapPng(const OutlierMap& map);

}  // namespace w8a8
