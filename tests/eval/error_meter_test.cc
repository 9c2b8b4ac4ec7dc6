// The meters against sums in long double, written out plainly here.
#include "eval/measure/error_meter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/sha256.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

struct Image {
  int64_t rows = 0, cols = 0;
  std::vector<Half> expected, actual;

  MatView<const Half> View(const std::vector<Half>& values) const {
    return {values.data(), rows, cols, cols};
  }
};

// Values with a heavy tail, as activations have; the error grows with the seed.
Image MakeImage(uint64_t seed, int64_t rows, int64_t cols) {
  Image image{.rows = rows, .cols = cols, .expected = {}, .actual = {}};
  for (int64_t i = 0; i < rows * cols; ++i) {
    const float u = HashUniform(seed, static_cast<uint64_t>(i));
    const float value = 3 * u / (1.02f - std::fabs(u));
    const float error =
        0.01f * HashUniform(seed + 1000, static_cast<uint64_t>(i)) * static_cast<float>(seed);
    image.expected.push_back(ToHalf(value));
    image.actual.push_back(ToHalf(value + error));
  }
  return image;
}

std::vector<Image> MakeImages(int count) {
  std::vector<Image> images;
  for (int i = 0; i < count; ++i) {
    images.push_back(MakeImage(static_cast<uint64_t>(i + 1), 5 + i % 3, 77));
  }
  return images;
}

std::string FileOf(int64_t image) { return "photo " + std::to_string(image) + ".jpg"; }

SamplePtr KeyOf(int64_t image, int64_t view = 0) {
  const std::string file = FileOf(image);
  return std::make_shared<const SampleKey>(
      SampleKey{.image = {.sha256 = Sha256Hex(file), .name = file}, .view = view});
}

void AddTo(ErrorMeter& meter, SamplePtr sample, const Image& image) {
  meter.Add(std::move(sample), image.View(image.expected), image.View(image.actual));
}

ErrorMeter MeterOf(const std::vector<Image>& images) {
  ErrorMeter meter;
  for (size_t i = 0; i < images.size(); ++i) {
    AddTo(meter, KeyOf(static_cast<int64_t>(i)), images[i]);
  }
  return meter;
}

// The definitions, in long double, in order of arrival.
struct Oracle {
  double sqnr_db, relative_l2, cosine_mean, cosine_min, max_abs, mean_error;
};

Oracle Measure(const std::vector<Image>& images) {
  long double all_ref = 0, all_err = 0, all_bias = 0, cosines = 0, count = 0;
  double max_abs = 0, cosine_min = 2;
  for (const Image& image : images) {
    long double ref = 0, act = 0, dot = 0;
    for (size_t i = 0; i < image.expected.size(); ++i) {
      const long double e = ToFloat(image.expected[i]);
      const long double a = ToFloat(image.actual[i]);
      ref += e * e;
      act += a * a;
      dot += e * a;
      all_ref += e * e;
      all_err += (a - e) * (a - e);
      all_bias += a - e;
      count += 1;
      max_abs = std::max(max_abs, static_cast<double>(std::fabs(a - e)));
    }
    const long double cosine = dot / std::sqrt(ref * act);
    cosines += cosine;
    cosine_min = std::min(cosine_min, static_cast<double>(cosine));
  }
  return {.sqnr_db = static_cast<double>(10 * std::log10(all_ref / all_err)),
          .relative_l2 = static_cast<double>(std::sqrt(all_err / all_ref)),
          .cosine_mean = static_cast<double>(cosines / static_cast<long double>(images.size())),
          .cosine_min = cosine_min,
          .max_abs = max_abs,
          .mean_error = static_cast<double>(all_bias / count)};
}

// Some 10,000 additions of values up to 1, in each of the sums that a figure is made of.
const double kSumTolerance = test::RoundingBound(100'000, 1);
const double kDecibelTolerance = 100 * kSumTolerance;

TEST(ErrorMeter, TheViewsOfAnImageAreOneImage) {
  // Images 0 and 1 with two and three views.
  const std::vector<Image> views = MakeImages(5);
  const std::vector<int64_t> image_of = {0, 0, 1, 1, 1}, view_of = {0, 1, 0, 1, 2};
  ErrorMeter viewed;
  for (size_t i = 0; i < views.size(); ++i) AddTo(viewed, KeyOf(image_of[i], view_of[i]), views[i]);
  std::vector<Image> whole(2);
  for (size_t i = 0; i < views.size(); ++i) {
    Image& image = whole[static_cast<size_t>(image_of[i])];
    image.rows += views[i].rows;
    image.cols = views[i].cols;
    image.expected.insert(image.expected.end(), views[i].expected.begin(), views[i].expected.end());
    image.actual.insert(image.actual.end(), views[i].actual.begin(), views[i].actual.end());
  }
  const ErrorSummary by_view = viewed.Summarize();
  const ErrorSummary by_image = MeterOf(whole).Summarize();
  EXPECT_EQ(by_view.images, 2u);
  EXPECT_EQ(by_view.compared, by_image.compared);
  EXPECT_EQ(by_view.max_abs, by_image.max_abs);
  EXPECT_NEAR(by_view.sqnr_db, by_image.sqnr_db, kDecibelTolerance);
  EXPECT_NEAR(by_view.cosine_mean, by_image.cosine_mean, kSumTolerance);
  EXPECT_NEAR(by_view.mean_error, by_image.mean_error, kSumTolerance);
  // Intervals draw images: two of them have few distinct resamples, five views would have many.
  EXPECT_NEAR(viewed.Estimates(1).sqnr_db.low, MeterOf(whole).Estimates(1).sqnr_db.low,
              kDecibelTolerance);
}

TEST(ErrorMeter, EqualsTheDefinitionsInLongDouble) {
  const std::vector<Image> images = MakeImages(40);
  const Oracle oracle = Measure(images);
  const ErrorSummary summary = MeterOf(images).Summarize();
  EXPECT_NEAR(summary.sqnr_db, oracle.sqnr_db, kDecibelTolerance);
  EXPECT_NEAR(summary.relative_l2, oracle.relative_l2, kSumTolerance);
  EXPECT_NEAR(summary.cosine_mean, oracle.cosine_mean, kSumTolerance);
  EXPECT_EQ(summary.max_abs, oracle.max_abs);
  EXPECT_NEAR(summary.mean_error, oracle.mean_error, kSumTolerance);
  EXPECT_GE(summary.cosine_p1, oracle.cosine_min - kSumTolerance);
  EXPECT_LE(summary.cosine_p1, oracle.cosine_mean);
  EXPECT_EQ(summary.images, 40u);
  EXPECT_EQ(summary.nonfinite, 0u);
  EXPECT_FALSE(summary.exact);
}

bool SameBits(const Estimate& a, const Estimate& b) {
  return a.value == b.value && a.low == b.low && a.high == b.high;
}

TEST(ErrorMeter, DoesNotDependOnTheOrderOfImagesNorOnMerging) {
  const std::vector<Image> images = MakeImages(23);
  const OutputErrors expected = MeterOf(images).Estimates(7);

  // Two workers, images dealt out in a scrambled order.
  std::vector<size_t> scrambled(images.size());
  std::iota(scrambled.begin(), scrambled.end(), size_t{0});
  std::sort(scrambled.begin(), scrambled.end(),
            [](size_t a, size_t b) { return MixBits(a) < MixBits(b); });
  ErrorMeter first, second;
  for (const size_t i : scrambled) {
    AddTo(MixBits(i) % 3 == 0 ? first : second, KeyOf(static_cast<int64_t>(i)), images[i]);
  }
  second.Merge(first);
  const OutputErrors actual = second.Estimates(7);
  EXPECT_TRUE(SameBits(expected.sqnr_db, actual.sqnr_db));
  EXPECT_TRUE(SameBits(expected.relative_l2, actual.relative_l2));
  EXPECT_TRUE(SameBits(expected.cosine_mean, actual.cosine_mean));
  EXPECT_TRUE(SameBits(expected.cosine_p1, actual.cosine_p1));
  EXPECT_TRUE(SameBits(expected.max_abs, actual.max_abs));
}

TEST(ErrorMeter, BootstrapIsTheSameForASeedAndHoldsTheValue) {
  const std::vector<Image> images = MakeImages(30);
  const ErrorMeter meter = MeterOf(images);
  const OutputErrors errors = meter.Estimates(5);
  EXPECT_TRUE(SameBits(errors.sqnr_db, meter.Estimates(5).sqnr_db));
  EXPECT_FALSE(SameBits(errors.sqnr_db, meter.Estimates(6).sqnr_db));
  for (const Estimate& e : {errors.sqnr_db, errors.relative_l2, errors.cosine_mean}) {
    EXPECT_LT(e.low, e.value);
    EXPECT_GT(e.high, e.value);
  }
  EXPECT_EQ(errors.max_abs.value, errors.max_abs.high);  // no resample can exceed it
  const ErrorSummary summary = meter.Summarize();
  EXPECT_EQ(errors.sqnr_db.value, summary.sqnr_db);
  EXPECT_EQ(errors.cosine_p1.value, summary.cosine_p1);
}

TEST(ErrorMeter, NoErrorIsExact) {
  std::vector<Image> images = MakeImages(4);
  for (Image& image : images) image.actual = image.expected;
  const ErrorSummary summary = MeterOf(images).Summarize();
  EXPECT_TRUE(summary.exact);
  EXPECT_TRUE(std::isinf(summary.sqnr_db));
  EXPECT_EQ(summary.relative_l2, 0);
  EXPECT_EQ(summary.cosine_mean, 1);
  const OutputErrors errors = MeterOf(images).Estimates(0);
  EXPECT_TRUE(errors.exact);
  EXPECT_TRUE(std::isnan(errors.sqnr_db.value));
  EXPECT_EQ(errors.cosine_p1.low, 1);
}

TEST(ErrorMeter, LeavesOutAndCountsPairsThatAreNotFinite) {
  const std::vector<Image> clean = MakeImages(3);
  std::vector<Image> dirty = clean;
  const auto blank = [](std::vector<Image>& images, size_t image, size_t at, Half e, Half a) {
    images[image].expected[at] = e;
    images[image].actual[at] = a;
  };
  const Half nan{0x7e00}, inf{0x7c00}, zero{0};
  // Left out or both zero: the same sums.
  std::vector<Image> zeroed = clean;
  for (const auto& [image, at] : {std::pair<size_t, size_t>{0, 0}, {0, 383}, {2, 78}}) {
    blank(zeroed, image, at, zero, zero);
  }
  blank(dirty, 0, 0, nan, Half{0x3c00});
  blank(dirty, 0, 383, Half{0x3c00}, inf);
  blank(dirty, 2, 78, Half{0xfc00}, Half{0xfc00});
  const ErrorSummary expected = MeterOf(zeroed).Summarize();
  const ErrorSummary actual = MeterOf(dirty).Summarize();
  EXPECT_EQ(actual.nonfinite, 3u);
  EXPECT_EQ(actual.compared + 3, expected.compared);
  EXPECT_EQ(actual.sqnr_db, expected.sqnr_db);
  EXPECT_EQ(actual.cosine_mean, expected.cosine_mean);
  EXPECT_EQ(actual.max_abs, expected.max_abs);
}

TEST(ErrorMeter, EqualButForNonfiniteValuesIsNotExact) {
  std::vector<Image> images = MakeImages(2);
  for (Image& image : images) image.actual = image.expected;
  images[1].actual[5] = Half{0x7e00};
  EXPECT_FALSE(MeterOf(images).Summarize().exact);
}

TEST(ErrorMeter, AnImageWithNothingFiniteIsInNoFigure) {
  std::vector<Image> images = MakeImages(3);
  const ErrorSummary without = MeterOf({images[0], images[1]}).Summarize();
  std::fill(images[2].expected.begin(), images[2].expected.end(), Half{0x7e00});
  const ErrorSummary with = MeterOf(images).Summarize();
  EXPECT_EQ(with.sqnr_db, without.sqnr_db);
  EXPECT_EQ(with.cosine_mean, without.cosine_mean);
  EXPECT_EQ(with.nonfinite, images[2].expected.size());

  const ErrorSummary nothing = ErrorMeter().Summarize();
  EXPECT_TRUE(std::isnan(nothing.sqnr_db));
  EXPECT_FALSE(nothing.exact);
}

TEST(ErrorMeter, SkipsWhatStandsBetweenStrideAndWidth) {
  const Image image = MakeImage(3, 6, 64);
  ErrorMeter whole, parts;
  std::vector<Half> expected, actual;  // 50 columns of 64, packed
  for (int64_t r = 0; r < 6; ++r) {
    const auto begin = static_cast<size_t>(r * 64);
    for (size_t k = begin; k < begin + 50; ++k) {
      expected.push_back(image.expected[k]);
      actual.push_back(image.actual[k]);
    }
  }
  whole.Add(KeyOf(0), {expected.data(), 6, 50, 50}, MatView<const Half>{actual.data(), 6, 50, 50});
  parts.Add(KeyOf(0), image.View(image.expected).ColRange(0, 50),
            image.View(image.actual).ColRange(0, 50));
  EXPECT_EQ(whole.records()[0].sum_error_sq, parts.records()[0].sum_error_sq);
  EXPECT_EQ(whole.records()[0].compared, 300u);
}

TEST(ErrorMeter, TakesFloatValuesAndSaturation) {
  const Image image = MakeImage(2, 4, 32);
  std::vector<float> actual(image.actual.size());
  ToFloat(image.actual, actual);
  ErrorMeter halves, floats;
  halves.Add(KeyOf(4), image.View(image.expected), image.View(image.actual));
  floats.Add(KeyOf(4), image.View(image.expected), MatView<const float>{actual.data(), 4, 32, 32});
  EXPECT_EQ(halves.records()[0].sum_product, floats.records()[0].sum_product);
  floats.AddSaturation(32, 128);
  EXPECT_EQ(floats.Summarize().saturation, 0.25);
  EXPECT_TRUE(std::isnan(halves.Summarize().saturation));
}

TEST(ErrorMeter, ZeroTensorsHaveACosine) {
  const std::vector<Half> zeros(8), ones(8, Half{0x3c00});
  ErrorMeter meter;
  const auto view = [](const std::vector<Half>& v) {
    return MatView<const Half>{v.data(), 1, 8, 8};
  };
  meter.Add(KeyOf(0), view(zeros), view(zeros));
  meter.Add(KeyOf(1), view(zeros), view(ones));
  meter.Add(KeyOf(2), view(ones), view(zeros));
  EXPECT_EQ(Cosine(meter.records()[0]), 1);
  EXPECT_EQ(Cosine(meter.records()[1]), 0);
  EXPECT_EQ(Cosine(meter.records()[2]), 0);
}

}  // namespace
}  // namespace w8a8
