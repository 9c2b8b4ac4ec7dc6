#include "reports/card_file.h"

#include <utility>

#include <fmt/format.h>

#include "reports/card_plots.h"
#include "reports/text.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// A report is small: whatever claims more in one dataset is damaged.
constexpr uint64_t kMaxBytes = uint64_t{1} << 26;
constexpr int64_t kCodes = 255;

std::string GroupOf(const std::string& site) { return "/cards/" + Hdf5ObjectName(site); }

void WriteCard(Hdf5OutputFile& file, const SiteCard& card) {
  const std::string group = GroupOf(card.site);
  file.Group(group);
  file.Write(group + "/bin_edge", card.bin_edge);
  file.Write(group + "/negative_count", card.negative_count);
  file.Write(group + "/positive_count", card.positive_count);
  file.Write(group + "/negative_share", SharePerOctave(card, card.negative_count));
  file.Write(group + "/positive_share", SharePerOctave(card, card.positive_count));
  file.Write(group + "/code_share", CodeShare(card));
  file.Write(group + "/clip", card.clip);
  file.Write(group + "/clip_mse", card.clip_mse);
  file.Write(group + "/channel_absmax", card.channel_absmax);
  file.Write(group + "/top_channel", card.top_channel);
  file.Write(group + "/top_channel_absmax", card.top_channel_absmax);
  file.Write(group + "/position_scale", card.position_scale);
  file.Write(group + "/position_scale_mean", card.position_scale_mean);
  file.Write(group + "/code_count", card.code_count);
  file.Write(group + "/outlier_map", card.map.absmax, {card.map.rows, card.map.columns});
  file.Attribute(group, "zero_count", card.zero_count);
  file.Attribute(group, "nan_count", card.nan_count);
  file.Attribute(group, "infinite_count", card.infinite_count);
  file.Attribute(group, "absmax", card.absmax);
  file.Attribute(group, "channels", card.channels);
  file.Attribute(group, "channels_per_point", card.channels_per_point);
  file.Attribute(group, "channel_absmax_median", card.channel_absmax_median);
  file.Attribute(group, "tokens", card.tokens);
  file.Attribute(group, "tokens_per_point", card.tokens_per_point);
  file.Attribute(group, "map_image", ValidUtf8(card.map.image));
  file.Attribute(group, "map_tokens_per_row", card.map.tokens_per_row);
  file.Attribute(group, "map_channels_per_column", card.map.channels_per_column);
}

SiteCard ReadCard(const Hdf5InputFile& file, const std::string& site) {
  const std::string group = GroupOf(site);
  const auto read = [&]<class T>(const char* name, std::vector<T>& values, int64_t count = -1) {
    values = file.Read<T>(fmt::format("{}/{}", group, name), {count}, kMaxBytes);
    return static_cast<int64_t>(values.size());
  };
  SiteCard card;
  card.site = site;
  const int64_t edges = read("bin_edge", card.bin_edge);
  const int64_t bins = edges > 0 ? edges - 1 : 0;
  read("negative_count", card.negative_count, bins);
  read("positive_count", card.positive_count, bins);
  read("clip_mse", card.clip_mse, read("clip", card.clip));
  read("channel_absmax", card.channel_absmax);
  read("top_channel_absmax", card.top_channel_absmax, read("top_channel", card.top_channel));
  read("position_scale_mean", card.position_scale_mean,
       read("position_scale", card.position_scale));
  const int64_t codes = read("code_count", card.code_count);
  if (codes != 0 && codes != kCodes) {
    Fail("{}: '{}/code_count' has {} codes; {} or none are expected.", file.path().string(), group,
         codes, kCodes);
  }
  const Hdf5Shape shape = file.ShapeOf(group + "/outlier_map");
  card.map.absmax = file.Read<Half>(group + "/outlier_map", {-1, -1}, kMaxBytes);
  card.map.rows = shape[0];
  card.map.columns = shape[1];
  card.zero_count = file.UnsignedAttribute(group, "zero_count");
  card.nan_count = file.UnsignedAttribute(group, "nan_count");
  card.infinite_count = file.UnsignedAttribute(group, "infinite_count");
  card.absmax = file.RealAttribute(group, "absmax");
  card.channels = file.SignedAttribute(group, "channels");
  card.channels_per_point = file.SignedAttribute(group, "channels_per_point");
  card.channel_absmax_median = file.RealAttribute(group, "channel_absmax_median");
  card.tokens = file.SignedAttribute(group, "tokens");
  card.tokens_per_point = file.SignedAttribute(group, "tokens_per_point");
  card.map.image = file.TextAttribute(group, "map_image");
  card.map.tokens_per_row = file.SignedAttribute(group, "map_tokens_per_row");
  card.map.channels_per_column = file.SignedAttribute(group, "map_channels_per_column");
  return card;
}

std::string ThumbnailName(size_t index) { return fmt::format("/worst_images/thumbnail/{}", index); }

void WriteWorstImages(Hdf5OutputFile& file, const std::vector<WorstImage>& images) {
  std::vector<std::string> names, references, answers, accepted;
  std::vector<double> sqnr_db, cosine;
  for (size_t i = 0; i < images.size(); ++i) {
    const WorstImage& image = images[i];
    names.push_back(ValidUtf8(image.file));
    references.push_back(ValidUtf8(image.reference_answer));
    answers.push_back(ValidUtf8(image.answer));
    accepted.push_back(ValidUtf8(image.accepted));
    sqnr_db.push_back(image.sqnr_db);
    cosine.push_back(image.cosine);
    file.Write(ThumbnailName(i), image.thumbnail, {image.height, image.width, 3});
  }
  file.Group("/worst_images");
  file.WriteStrings("/worst_images/file", names);
  file.Write("/worst_images/sqnr_db", sqnr_db);
  file.Write("/worst_images/cosine", cosine);
  file.WriteStrings("/worst_images/reference_answer", references);
  file.WriteStrings("/worst_images/answer", answers);
  file.WriteStrings("/worst_images/accepted", accepted);
}

std::vector<WorstImage> ReadWorstImages(const Hdf5InputFile& file) {
  const std::vector<std::string> names = file.ReadStrings("/worst_images/file");
  const auto count = static_cast<int64_t>(names.size());
  const auto strings = [&](const char* name) {
    return file.ReadStrings(fmt::format("/worst_images/{}", name), count);
  };
  const std::vector<std::string> references = strings("reference_answer");
  const std::vector<std::string> answers = strings("answer"), accepted = strings("accepted");
  const std::vector<double> sqnr_db = file.Read<double>("/worst_images/sqnr_db", {count});
  const std::vector<double> cosine = file.Read<double>("/worst_images/cosine", {count});
  std::vector<WorstImage> images;
  for (size_t i = 0; i < names.size(); ++i) {
    WorstImage image;
    image.file = names[i];
    image.sqnr_db = sqnr_db[i];
    image.cosine = cosine[i];
    image.reference_answer = references[i];
    image.answer = answers[i];
    image.accepted = accepted[i];
    image.thumbnail = file.Read<uint8_t>(ThumbnailName(i), {-1, -1, 3}, kMaxBytes);
    const Hdf5Shape shape = file.ShapeOf(ThumbnailName(i));
    image.height = shape[0];
    image.width = shape[1];
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace

void WriteCards(Hdf5OutputFile& file, const Report& report) {
  file.Group("/cards");
  std::vector<std::string> sites;
  for (const SiteCard& card : report.cards) {
    sites.push_back(ValidUtf8(card.site));
    WriteCard(file, card);
  }
  file.WriteStrings("/cards/site", sites);
  WriteWorstImages(file, report.worst_images);
}

void ReadCards(const std::filesystem::path& path, Report& report) {
  const Hdf5InputFile file(path);
  report.cards.clear();
  report.worst_images.clear();
  if (!file.Has("/cards")) return;
  for (const std::string& site : file.ReadStrings("/cards/site")) {
    report.cards.push_back(ReadCard(file, site));
  }
  report.worst_images = ReadWorstImages(file);
}

}  // namespace w8a8
