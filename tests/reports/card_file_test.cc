#include "reports/card_file.h"

#include <cmath>

#include "gtest/gtest.h"
#include "reports/card_plots.h"
#include "reports/hdf5_writer.h"
#include "reports/html_writer.h"
#include "reports/png_image.h"
#include "runtime/base/error.h"
#include "tests/reports/sample_report.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPageBytes = 5'000'000;

TEST(CardFile, GivesBackEveryPlottedNumber) {
  const fs::path path = test::ScratchFolder("card_file") / "report.h5";
  const Report report = test::SampleReport(1);
  WriteReportHdf5(path, report, test::SampleRun());
  Report read;
  ReadCards(path, read);
  ASSERT_EQ(read.cards.size(), 4u);
  for (size_t i = 0; i < read.cards.size(); ++i) {
    const SiteCard &expected = report.cards[i], &actual = read.cards[i];
    EXPECT_EQ(read[actual.site], report[expected.site]);
    EXPECT_EQ(actual.bin_edge, expected.bin_edge);
    EXPECT_EQ(actual.negative_count, expected.negative_count);
    EXPECT_EQ(actual.positive_count, expected.positive_count);
    EXPECT_EQ(actual.clip, expected.clip);
    EXPECT_EQ(actual.clip_mse, expected.clip_mse);
    EXPECT_EQ(actual.channel_absmax, expected.channel_absmax);
    EXPECT_EQ(actual.top_channel, expected.top_channel);
    EXPECT_EQ(actual.position_scale, expected.position_scale);
    EXPECT_EQ(actual.position_scale_mean, expected.position_scale_mean);
    EXPECT_EQ(actual.code_count, expected.code_count);
    EXPECT_EQ(actual.map.absmax, expected.map.absmax);
    EXPECT_EQ(actual.map.columns, expected.map.columns);
  }
  ASSERT_EQ(read.worst_images.size(), report.worst_images.size());
  EXPECT_EQ(read.worst_images[2].thumbnail, report.worst_images[2].thumbnail);
  EXPECT_EQ(read.worst_images[2].height, 66);
}

TEST(CardFile, RefusesCardsThatContradictThemselves) {
  const fs::path path = test::ScratchFolder("card_file_bad") / "report.h5";
  Report report = test::SampleReport(1);
  report.cards[2].clip_mse.pop_back();
  WriteReportHdf5(path, report, {});
  EXPECT_THROW(ReadCards(path, report), Error);
  report = test::SampleReport(1);
  report.cards[2].code_count.pop_back();
  WriteReportHdf5(path, report, {});
  EXPECT_THROW(ReadCards(path, report), Error);
}

TEST(Cards, AreDrawnWithoutCalibrationToo) {
  Report report = test::SampleReport(1);
  for (SiteCard& card : report.cards) {
    SiteCard bare;
    bare.site = card.site;
    bare.map = card.map;
    card = bare;
  }
  const std::string page = ReportHtml(report, test::SampleRun());
  EXPECT_NE(page.find("id=\"card-3\""), std::string::npos);
  EXPECT_EQ(page.find("Exact distribution"), std::string::npos);
  for (const char* part : {" nan", ">nan", ",nan"}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
}

TEST(Cards, Of108SitesFitInFiveMegabytes) {
  const std::string page = ReportHtml(test::SampleReport(27), test::SampleRun());
  EXPECT_LE(page.size(), kMaxPageBytes);
  RecordProperty("bytes", static_cast<int>(page.size()));
}

TEST(CodeUse, CountsCodesZerosAndEnds) {
  SiteCard card;
  card.code_count.assign(255, 0);
  card.code_count[127] = 6;  // code 0
  card.code_count[0] = card.code_count[254] = 1;
  const CodeUse use = CodeUseOf(card);
  EXPECT_EQ(use.used, 3);
  EXPECT_DOUBLE_EQ(use.zeros, 0.75);
  EXPECT_DOUBLE_EQ(use.ends, 0.25);
  EXPECT_DOUBLE_EQ(use.entropy_bits, 0.75 * std::log2(4.0 / 3) + 0.25 * 3);
}

TEST(CodeUse, CountsTheZeroPointAndTheLowestCodeOfAsymmetricInputs) {
  SiteCard card;
  card.code_count.assign(256, 0);
  card.code_count[28] = 6;  // code -100
  card.code_count[0] = card.code_count[255] = 1;
  EXPECT_EQ(card.lowest_code(), -128);
  EXPECT_DOUBLE_EQ(CodeUseOf(card, -100).zeros, 0.75);
  EXPECT_DOUBLE_EQ(CodeUseOf(card, -100).ends, 0.25);
  EXPECT_EQ(CodePlot(card, "site").series[0].points.front().x, -128);
}

TEST(DistributionPlot, MarksTheClipAndTheClassicConstant) {
  const Report report = test::SampleReport(1);
  const Plot plot = DistributionPlot(report.cards[0], "site", &report.plan_choices[0]);
  ASSERT_EQ(plot.marks.size(), 2u);
  EXPECT_EQ(plot.marks[0].at, 4.25);
  EXPECT_EQ(plot.marks[1].at, 5);
  EXPECT_EQ(RenderSvg(plot).find("nan"), std::string::npos);
}

TEST(PngDataUri, IsTheKnownEncoding) {
  const std::vector<uint8_t> pixels(3, 255);
  const std::string uri = PngDataUri(pixels, 1, 1);
  EXPECT_TRUE(uri.starts_with("data:image/png;base64,iVBORw0KGgo"));  // the signature of a PNG
  EXPECT_EQ((uri.size() - uri.find(',') - 1) % 4, 0u);
}

TEST(LogTicks, AreDecadesOrTheirParts) {
  const auto labels = [](double low, double high) {
    std::string text;
    for (const PlotTick& tick : LogTicks(low, high, 8)) text += tick.label + " ";
    return text;
  };
  EXPECT_EQ(labels(0.9, 120), "1 2 5 10 20 50 100 ");
  EXPECT_EQ(labels(1e-6, 10), "1e-6 1e-5 1e-4 0.001 0.01 0.1 1 10 ");
}

}  // namespace
}  // namespace w8a8
