#include "calib/stats_file.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "tests/calib/made_activations.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using test::FirstImages;
using test::MadeSites;
using test::ObserveImages;

constexpr int kImages = 24;

class StatsFile : public testing::Test {
 protected:
  fs::path Path(const std::string& name) const { return folder_ / name; }

  fs::path Written(const std::string& name, const CalibrationStats& stats) const {
    WriteStats(Path(name), stats);
    return Path(name);
  }
  std::string Bytes(const CalibrationStats& stats) const {
    return ReadFile(Written("bytes.h5", stats));
  }

  const fs::path folder_ = test::ScratchFolder("stats_file_test");
};

std::string MessageOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(StatsFile, ReadsBackWhatWasWritten) {
  const CalibrationStats stats = ObserveImages(FirstImages(kImages));
  const CalibrationStats read = ReadStats(Written("a.h5", stats));
  EXPECT_EQ(read.header.model_sha256, stats.header.model_sha256);
  EXPECT_EQ(read.header.preprocessing_sha256, stats.header.preprocessing_sha256);
  EXPECT_EQ(read.header.seed, stats.header.seed);
  EXPECT_EQ(read.header.images.size(), stats.header.images.size());
  ASSERT_EQ(read.sites.size(), stats.sites.size());
  for (const auto& [site, expected] : stats.sites) {
    const SiteStatistics& actual = read.sites.at(site);
    EXPECT_TRUE(std::ranges::equal(actual.histogram.counts(), expected.histogram.counts()));
    EXPECT_TRUE(actual.channel_sum == expected.channel_sum);
    EXPECT_TRUE(actual.channel_sum_sq == expected.channel_sum_sq);
    EXPECT_EQ(actual.channel_absmax, expected.channel_absmax);
    EXPECT_EQ(actual.position_absmax, expected.position_absmax);
    EXPECT_EQ(actual.position_absmax_sum, expected.position_absmax_sum);
    EXPECT_EQ(actual.position_count, expected.position_count);
    EXPECT_EQ(actual.rows.InOrder().keys, expected.rows.InOrder().keys);
    EXPECT_EQ(test::Equal(expected.rows.InOrder().rows, actual.rows.InOrder().rows), "");
    EXPECT_GT(actual.histogram.NonFinite().nan, 0u);
  }
  EXPECT_EQ(Bytes(read), Bytes(stats));
}

TEST_F(StatsFile, BytesDoNotDependOnTheOrderOfTheImages) {
  const std::string expected = Bytes(ObserveImages(FirstImages(kImages)));
  std::vector<int> images = FirstImages(kImages);
  std::mt19937 random(1);
  for (int round = 0; round < 5; ++round) {
    std::shuffle(images.begin(), images.end(), random);
    EXPECT_EQ(Bytes(ObserveImages(images)), expected);
  }
}

TEST_F(StatsFile, BytesDoDependOnEveryImage) {
  const std::string all = Bytes(ObserveImages(FirstImages(kImages)));
  EXPECT_NE(Bytes(ObserveImages(FirstImages(kImages - 1))), all);
}

TEST_F(StatsFile, BytesDoNotDependOnBatchesOrThreads) {
  const std::string expected = Bytes(ObserveImages(FirstImages(kImages)));
  for (const int threads : {1, 2, 3}) {
    for (const int batch : {1, 7, 32}) {
      std::vector<std::map<std::string, SiteStatistics>> workers(static_cast<size_t>(threads));
      ThreadPool(threads).For((kImages + batch - 1) / batch, [&](int64_t index, int worker) {
        std::vector<int> images;
        for (int i = static_cast<int>(index) * batch; i < kImages; ++i) {
          if (i / batch == index) images.push_back(i);
        }
        MergeSites(ObserveImages(images).sites, &workers[static_cast<size_t>(worker)]);
      });
      CalibrationStats merged = ObserveImages({});
      merged.header.images = ObserveImages(FirstImages(kImages)).header.images;
      for (const auto& sites : workers) {
        if (!sites.empty()) MergeSites(sites, &merged.sites);
      }
      EXPECT_EQ(Bytes(merged), expected) << threads << " threads, batches of " << batch;
    }
  }
}

TEST_F(StatsFile, MergedPartsGiveTheBytesOfOneRun) {
  const std::string expected = Bytes(ObserveImages(FirstImages(kImages)));
  std::vector<int> even, odd, first, rest;
  for (const int image : FirstImages(kImages)) {
    (image % 2 == 0 ? even : odd).push_back(image);
    (image < 5 ? first : rest).push_back(image);
  }
  const std::vector<fs::path> halves = {Written("even.h5", ObserveImages(even)),
                                        Written("odd.h5", ObserveImages(odd))};
  MergeStats(halves, Path("merged.h5"));
  EXPECT_EQ(ReadFile(Path("merged.h5")), expected);

  const std::vector<fs::path> backwards = {Written("rest.h5", ObserveImages(rest)),
                                           Written("first.h5", ObserveImages(first))};
  EXPECT_EQ(MergeStats(backwards, Path("merged2.h5")).images.size(), size_t{kImages});
  EXPECT_EQ(ReadFile(Path("merged2.h5")), expected);
}

TEST_F(StatsFile, OutputsAreVersion2AndReadBack) {
  const CalibrationStats stats = test::ObserveOutputsToo(FirstImages(kImages));
  const CalibrationStats read = ReadStats(Written("a.h5", stats));
  EXPECT_EQ(read.header.outputs, LayerOutputs::kObserved);
  for (const auto& [site, expected] : stats.sites) {
    const SiteStatistics& actual = read.sites.at(site);
    ASSERT_TRUE(actual.outputs.has_value()) << site;
    EXPECT_TRUE(std::ranges::equal(actual.outputs->counts(), expected.outputs->counts())) << site;
    EXPECT_EQ(actual.outputs->Total(), actual.Rows() * uint64_t{test::kMadeOutputs});
  }
  EXPECT_EQ(Bytes(read), Bytes(stats));
  EXPECT_EQ(Hdf5InputFile(Path("a.h5")).UnsignedAttribute("/", "version"), 2u);
}

TEST_F(StatsFile, WithoutOutputsItIsVersion1WithoutThem) {
  const fs::path path = Written("a.h5", ObserveImages({1, 2}));
  const Hdf5InputFile file(path);
  EXPECT_EQ(file.UnsignedAttribute("/", "version"), 1u);
  EXPECT_FALSE(file.Has("/outputs"));
  EXPECT_EQ(ReadStats(path).header.outputs, LayerOutputs::kIgnored);
}

TEST_F(StatsFile, MergedOutputsGiveTheBytesOfOneRunInAnyOrder) {
  const std::string expected = Bytes(test::ObserveOutputsToo(FirstImages(kImages)));
  std::vector<int> even, odd;
  for (const int image : FirstImages(kImages)) (image % 2 == 0 ? even : odd).push_back(image);
  const std::vector<fs::path> halves = {Written("odd.h5", test::ObserveOutputsToo(odd)),
                                        Written("even.h5", test::ObserveOutputsToo(even))};
  EXPECT_EQ(MergeStats(halves, Path("merged.h5")).outputs, LayerOutputs::kObserved);
  EXPECT_EQ(ReadFile(Path("merged.h5")), expected);
}

TEST_F(StatsFile, MergeRefusesOutputsInOneOfTheFilesOnly) {
  const std::vector<fs::path> files = {Written("a.h5", test::ObserveOutputsToo({1})),
                                       Written("b.h5", ObserveImages({2}))};
  const std::string message = MessageOf([&] { MergeStats(files, Path("merged.h5")); });
  EXPECT_NE(message.find("what the layers put out is observed in the one and not observed"),
            std::string::npos)
      << message;
  SiteStatistics with = test::ObserveOutputsToo({1}).sites.begin()->second;
  EXPECT_THROW(with.Merge(ObserveImages({2}).sites.begin()->second), Error);
}

TEST_F(StatsFile, OutputsOfOtherRowsAreRefusedWithTheSite) {
  CalibrationStats stats = test::ObserveOutputsToo({1, 2});
  const Half one{0x3c00};
  stats.sites.begin()->second.outputs->Add({&one, 1});
  const std::string message = MessageOf([&] { ReadStats(Written("a.h5", stats)); });
  EXPECT_NE(message.find(stats.sites.begin()->first), std::string::npos) << message;
  EXPECT_NE(message.find("/outputs/"), std::string::npos) << message;
}

TEST_F(StatsFile, OneContentUnderTwoNamesIsTwoImagesAsInOneRun) {
  CalibrationStats one = ObserveImages({1});
  CalibrationStats copy = ObserveImages({1});
  copy.header.images[0].name = "copy of 1.jpg";
  CalibrationStats both = ObserveImages({1, 1});
  both.header.images[1].name = "copy of 1.jpg";
  const std::vector<fs::path> parts = {Written("one.h5", one), Written("copy.h5", copy)};
  MergeStats(parts, Path("merged.h5"));
  EXPECT_EQ(ReadFile(Path("merged.h5")), Bytes(both));
}

TEST_F(StatsFile, MergeRefusesWhatOneRunCouldNotHaveGiven) {
  const CalibrationStats base = ObserveImages({1, 2});
  const fs::path a = Written("a.h5", base);
  CalibrationStats model = ObserveImages({3});
  model.header.model_sha256 = std::string(64, '0');
  CalibrationStats preprocessing = ObserveImages({3});
  preprocessing.header.preprocessing_sha256 = std::string(64, '0');
  CalibrationStats residual = ObserveImages({3});
  residual.header.residual = "fp32";
  CalibrationStats seed = ObserveImages({3});
  seed.header.seed = 10;
  CalibrationStats sites = ObserveImages({3});
  sites.sites.erase(MadeSites()[0].site);
  CalibrationStats channels = ObserveImages({3});
  channels.sites.at(MadeSites()[0].site) = ObserveImages({3}).sites.at(MadeSites()[1].site);
  const struct {
    std::string expected;
    CalibrationStats stats;
  } cases[] = {
      {"model_sha256", model},
      {"preprocessing_sha256", preprocessing},
      {"residual is fp16 in the one and fp32", residual},
      {"seed is 9 in the one and 10", seed},
      {"row_sample_size", ObserveImages({3}, /*row_sample_size=*/21)},
      {"different sites", sites},
      {"site '" + MadeSites()[0].site + "'", channels},
      {"both hold image 2.jpg", ObserveImages({2, 3})},
  };
  for (const auto& c : cases) {
    const std::vector<fs::path> inputs = {a, Written("b.h5", c.stats)};
    const std::string message = MessageOf([&] { MergeStats(inputs, Path("out.h5")); });
    EXPECT_NE(message.find(c.expected), std::string::npos) << message;
    EXPECT_NE(message.find("b.h5"), std::string::npos) << message;
    EXPECT_FALSE(fs::exists(Path("out.h5"))) << c.expected;
  }
}

TEST_F(StatsFile, AnImageListedTwiceIsNotWritten) {
  const std::string message = MessageOf([&] { Bytes(ObserveImages({4, 5, 4})); });
  EXPECT_NE(message.find("4.jpg"), std::string::npos) << message;
}

TEST_F(StatsFile, CutShortFilesAreRefused) {
  const std::string whole = Bytes(ObserveImages(FirstImages(3)));
  for (size_t part = 0; part < 64; ++part) {
    const fs::path path = Path("short.h5");
    WriteFileAtomically(path, whole.substr(0, whole.size() * part / 64));
    EXPECT_THROW(ReadStats(path), Error) << part << " of 64";
  }
}

TEST_F(StatsFile, OneFlippedBitIsFound) {
  const std::string whole = Bytes(ObserveImages(FirstImages(3)));
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    std::string damaged = whole;
    const size_t at = random() % damaged.size();
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    const fs::path path = Path("damaged.h5");
    WriteFileAtomically(path, damaged);
    EXPECT_THROW(ReadStats(path), Error) << "byte " << at;
  }
}

TEST_F(StatsFile, OtherFilesAreRefusedByName) {
  WriteFileAtomically(Path("text.h5"), "not HDF5 at all");
  Hdf5OutputFile other(Path("other.h5"));
  other.Write("/weights", std::vector<float>{1.0f});
  other.Commit();
  for (const std::string name : {"text.h5", "other.h5", "absent.h5"}) {
    const std::string message = MessageOf([&] { ReadStats(Path(name)); });
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }
}

// Files whose seal is right but whose contents contradict each other: somebody else's writer.
TEST_F(StatsFile, ContradictionsAreRefusedWithTheSite) {
  const std::string site = MadeSites()[0].site;
  const auto refuse = [&](const std::string& expected,
                          const std::function<void(SiteStatistics&)>& damage) {
    CalibrationStats stats = ObserveImages({1, 2});
    damage(stats.sites.at(site));
    const fs::path path = Written("contradiction.h5", stats);
    const std::string message = MessageOf([&] { ReadStats(path); });
    EXPECT_NE(message.find(expected), std::string::npos) << message;
    EXPECT_NE(message.find(site), std::string::npos) << message;
  };
  refuse("counts do not add up", [](SiteStatistics& s) { s.histogram.Add(std::vector<Half>(1)); });
  refuse("different maxima", [](SiteStatistics& s) {
    for (float& value : s.channel_absmax) value *= 0.5f;
  });
  refuse("no magnitude", [](SiteStatistics& s) { s.channel_absmax.back() = std::nanf(""); });
  refuse("no magnitude", [](SiteStatistics& s) { s.position_absmax.back() = -1.0f; });
  refuse("counts do not add up", [](SiteStatistics& s) { ++s.position_count[2]; });
  refuse("row_key", [](SiteStatistics& s) { s.rows = RowSample(s.channels(), 20); });
}

}  // namespace
}  // namespace w8a8
