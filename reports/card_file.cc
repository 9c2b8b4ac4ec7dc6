#include "reports/card_file.h"

#include <utility>

#include <fmt/format.h>

#include "reports/card_plots.h"
#include "reports/hdf5_records.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// A report is small: whatever claims more in one dataset is damaged.
constexpr uint64_t kMaxBytes = uint64_t{1} << 26;
constexpr size_t kCodes = 255;  // one more with zero points
constexpr const char* kWorstImages = "/worst_images";

std::string GroupOf(const std::string& site) { return "/cards/" + Hdf5ObjectName(site); }

void WriteCard(Hdf5OutputFile& file, const Report& report, const SiteCard& card) {
  const std::string group = GroupOf(report[card.site]);
  WriteHdf5Group(file, report, group, card);
  WriteHdf5Group(file, report, group, card.map);
  file.Write(group + "/outlier_map", card.map.absmax, {card.map.rows, card.map.columns});
  file.Write(group + "/negative_share", SharePerOctave(card, card.negative_count));
  file.Write(group + "/positive_share", SharePerOctave(card, card.positive_count));
  file.Write(group + "/code_share", CodeShare(card));
}

// The members of a record from the attributes and datasets of its group.
template <class Record>
struct GroupReader {
  const Hdf5InputFile& file;
  const std::string& group;
  Record& record;

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& /*traits*/ = {}) {
    T& value = record.*member;
    if constexpr (kIsList<T>) {
      using Element = typename T::value_type;
      value = file.Read<Element>(fmt::format("{}/{}", group, name), {-1}, kMaxBytes);
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = file.TextAttribute(group, name);
    } else if constexpr (std::is_same_v<T, double>) {
      value = file.RealAttribute(group, name);
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      value = file.UnsignedAttribute(group, name);
    } else {
      value = file.SignedAttribute(group, name);
    }
  }
};

void CheckLengths(const SiteCard& card, const std::string& where) {
  const auto expect = [&](const char* name, size_t actual, size_t expected) {
    if (actual == expected) return;
    Fail("{}/{}' has {} values; {} are expected.", where, name, actual, expected);
  };
  const size_t bins = card.bin_edge.empty() ? 0 : card.bin_edge.size() - 1;
  expect("negative_count", card.negative_count.size(), bins);
  expect("positive_count", card.positive_count.size(), bins);
  expect("clip_mse", card.clip_mse.size(), card.clip.size());
  expect("top_channel_absmax", card.top_channel_absmax.size(), card.top_channel.size());
  expect("position_scale_mean", card.position_scale_mean.size(), card.position_scale.size());
  const size_t codes = card.code_count.size();
  if (codes != 0 && codes != kCodes + 1) expect("code_count", codes, kCodes);
}

SiteCard ReadCard(const Hdf5InputFile& file, const std::string& group) {
  SiteCard card;
  Describe<SiteCard>(GroupReader<SiteCard>{file, group, card});
  Describe<OutlierMap>(GroupReader<OutlierMap>{file, group, card.map});
  CheckLengths(card, fmt::format("{}: '{}", file.path().string(), group));
  const Hdf5Shape shape = file.ShapeOf(group + "/outlier_map");
  card.map.absmax = file.Read<Half>(group + "/outlier_map", {-1, -1}, kMaxBytes);
  card.map.rows = shape[0];
  card.map.columns = shape[1];
  return card;
}

std::string ThumbnailName(size_t index) {
  return fmt::format("{}/thumbnail/{}", kWorstImages, index);
}

// The columns of a table into records; the first one says how many there are.
template <class Record>
struct TableReader {
  const Hdf5InputFile& file;
  std::string group;
  std::vector<Record> rows = {};
  int64_t count = -1;

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& /*traits*/ = {}) {
    const std::string path = fmt::format("{}/{}", group, name);
    const std::vector<T> values = [&] {
      if constexpr (std::is_same_v<T, std::string>) {
        return file.ReadStrings(path, count);
      } else {
        return file.Read<T>(path, {count}, kMaxBytes);
      }
    }();
    rows.resize(values.size());
    count = static_cast<int64_t>(values.size());
    for (size_t i = 0; i < rows.size(); ++i) rows[i].*member = values[i];
  }
};

std::vector<WorstImage> ReadWorstImages(const Hdf5InputFile& file) {
  TableReader<WorstImage> table{file, kWorstImages};
  Describe<WorstImage>(table);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    WorstImage& image = table.rows[i];
    image.thumbnail = file.Read<uint8_t>(ThumbnailName(i), {-1, -1, 3}, kMaxBytes);
    const Hdf5Shape shape = file.ShapeOf(ThumbnailName(i));
    image.height = shape[0];
    image.width = shape[1];
  }
  return std::move(table.rows);
}

}  // namespace

void WriteCards(Hdf5OutputFile& file, const Report& report) {
  file.Group("/cards");
  std::vector<std::string> sites;
  for (const SiteCard& card : report.cards) {
    sites.push_back(ValidUtf8(report[card.site]));
    WriteCard(file, report, card);
  }
  file.WriteStrings("/cards/site", sites);
  WriteHdf5Table(file, report, kWorstImages, report.worst_images);
  for (size_t i = 0; i < report.worst_images.size(); ++i) {
    const WorstImage& image = report.worst_images[i];
    file.Write(ThumbnailName(i), image.thumbnail, {image.height, image.width, 3});
  }
}

void ReadCards(const std::filesystem::path& path, Report& report) {
  const Hdf5InputFile file(path);
  report.cards.clear();
  report.worst_images.clear();
  if (!file.Has("/cards")) return;
  for (const std::string& site : file.ReadStrings("/cards/site")) {
    report.cards.push_back(ReadCard(file, GroupOf(site)));
    report.cards.back().site = report.site_names.Add(site);
  }
  report.worst_images = ReadWorstImages(file);
}

}  // namespace w8a8
