#include "datasets/draw.h"

#include <gtest/gtest.h>

#include "datasets/decode.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

TEST(DrawImage, FilesHoldTheDrawnPixels) {
  const auto paths = WriteDrawnImages(ScratchFolder("draw") / "images", 3, 42);
  ASSERT_EQ(paths.size(), 3u);
  for (int64_t i = 0; i < 3; ++i) {
    const RgbImage read = DecodeFile(paths[static_cast<size_t>(i)], AlphaRule::kDrop);
    EXPECT_EQ(Digest(read.pixels), Digest(DrawImage(42, i).pixels));
  }
}

TEST(DrawImage, PicturesDifferBySeedAndIndex) {
  EXPECT_NE(Digest(DrawImage(1, 0).pixels), Digest(DrawImage(2, 0).pixels));
  EXPECT_NE(Digest(DrawImage(1, 0).pixels), Digest(DrawImage(1, 1).pixels));
}

}  // namespace
}  // namespace w8a8::test
