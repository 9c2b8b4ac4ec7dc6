#include "datasets/cmyk_jpeg.h"

#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>

#include <fmt/format.h>

namespace w8a8 {
namespace {

// libjpeg ends the process on errors unless it is led back by longjmp.
struct ErrorHandler {
  jpeg_error_mgr manager;  // first: libjpeg knows the handler by it
  std::jmp_buf back;
  std::array<char, JMSG_LENGTH_MAX> message;
};

[[noreturn]] void OnError(j_common_ptr info) {
  auto* handler = reinterpret_cast<ErrorHandler*>(info->err);
  handler->manager.format_message(info, handler->message.data());
  std::longjmp(handler->back, 1);
}

void OnMessage(j_common_ptr /*info*/, int /*level*/) {}

// Pillow's cmyk2rgb: 255 - k - round(ink * (255 - k) / 255) for each ink, after the inversion.
void RowToRgb(const uint8_t* stored, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, stored += 4, rgb += 3) {
    const int light = stored[3];  // 255 - k
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - stored[c]) * light + 128;
      rgb[c] = static_cast<uint8_t>(std::clamp(light - (((product >> 8) + product) >> 8), 0, 255));
    }
  }
}

// False, with the reason in `handler`, where libjpeg gives up. Nothing with a destructor may live
// here: errors jump out of the middle.
bool Decode(FileBytes bytes, uint8_t* row, RgbImage& rgb, ErrorHandler& handler) {
  jpeg_decompress_struct info{};
  info.err = jpeg_std_error(&handler.manager);
  handler.manager.error_exit = OnError;
  handler.manager.emit_message = OnMessage;
  if (setjmp(handler.back) != 0) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_CMYK;
  jpeg_start_decompress(&info);
  const bool fits = info.output_width == static_cast<JDIMENSION>(rgb.width) &&
                    info.output_height == static_cast<JDIMENSION>(rgb.height) &&
                    info.output_components == 4;
  while (fits && info.output_scanline < info.output_height) {
    const auto y = static_cast<int>(info.output_scanline);
    jpeg_read_scanlines(&info, &row, 1);
    RowToRgb(row, rgb.width, rgb.row(y));
  }
  jpeg_destroy_decompress(&info);
  return fits;
}

}  // namespace

RgbImage DecodeCmykJpeg(FileBytes bytes, int width, int height) {
  RgbImage rgb(width, height);
  std::vector<uint8_t> row(static_cast<size_t>(width) * 4);
  ErrorHandler handler{};
  if (!Decode(bytes, row.data(), rgb, handler)) {
    const std::string_view reason = handler.message.data();
    throw UnreadableImage(fmt::format(
        "corrupt JPEG: {}", reason.empty() ? "two headers that contradict each other" : reason));
  }
  return rgb;
}

}  // namespace w8a8
