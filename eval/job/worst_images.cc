#include "eval/job/worst_images.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "datasets/decode.h"
#include "datasets/resample.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

// What the image's error is to its signal; 0 for an exact one.
double ErrorShare(const ImageError& record) {
  return record.sum_error_sq == 0 ? 0 : record.sum_error_sq / record.sum_expected_sq;
}

// Of equal shares the order of the keys is kept.
std::vector<ImageError> WorstFirst(std::vector<ImageError> records) {
  std::erase_if(records, [](const ImageError& record) { return !(ErrorShare(record) > 0); });
  std::stable_sort(records.begin(), records.end(), [](const ImageError& a, const ImageError& b) {
    return ErrorShare(a) > ErrorShare(b);
  });
  records.resize(std::min(records.size(), kWorstImages));
  return records;
}

const ImageFile& FileOf(const ImageKey& image, const std::vector<ImageFile>& files) {
  const auto file = std::find_if(files.begin(), files.end(),
                                 [&](const ImageFile& f) { return f.name == image.name; });
  W8A8_CHECK(file != files.end());
  return *file;
}

// Throws UnreadableImage unless the file still holds the bytes that were judged.
void AddThumbnail(const ImageFile& file, WorstImage& image) {
  const std::vector<uint8_t> bytes = ReadImageFile(file.path);
  if (Sha256Hex(std::as_bytes(std::span(bytes))) != file.sha256) {
    throw UnreadableImage("its bytes are others by now");
  }
  const RgbImage whole = DecodeRgb(bytes, AlphaRule::kOnWhite);
  const double shrink =
      std::min(1.0, static_cast<double>(kThumbnailSide) / std::max(whole.width, whole.height));
  const auto side = [&](int extent) {
    return std::max(1, static_cast<int>(std::lround(extent * shrink)));
  };
  const RgbImage small = Resize(whole, {side(whole.width), side(whole.height)}, Filter::kBilinear,
                                Resampler::kPillow13);
  image.width = small.width;
  image.height = small.height;
  image.thumbnail = small.pixels;
}

std::string ClassName(const Task& task, int64_t index) {
  if (index < 0) return "";
  if (!task.classes) return fmt::format("{}", index);
  return task.classes->names[static_cast<size_t>(index)];
}

void AddAnswers(const Evaluation& evaluation, const Task& task, const ImageKey& key,
                WorstImage& image) {
  const auto answer = evaluation.answers.find(key);
  if (answer == evaluation.answers.end()) return;
  image.reference_answer = ClassName(task, answer->second.reference);
  image.answer = ClassName(task, answer->second.arm);
  const auto accepted = task.accepted.find(image.file);
  if (accepted == task.accepted.end()) return;
  for (const int64_t right : accepted->second) {
    image.accepted += (image.accepted.empty() ? "" : ", ") + ClassName(task, right);
  }
}

}  // namespace

void AddWorstImages(const Evaluation& evaluation, const Task& task,
                    const std::vector<ImageFile>& files, Report& report) {
  const std::optional<size_t> run = evaluation.experiment.ChosenRun(Precision::kInt8);
  if (!run) return;
  const auto meter = evaluation.outputs.meters.find({*run, MainOutput(report)});
  if (meter == evaluation.outputs.meters.end()) return;
  for (const ImageError& record : WorstFirst(meter->second.ByImage())) {
    const ImageKey& key = record.sample->image;
    WorstImage image;
    image.file = key.name;
    image.sqnr_db = -10 * std::log10(ErrorShare(record));
    image.cosine = Cosine(record);
    AddAnswers(evaluation, task, key, image);
    try {
      AddThumbnail(FileOf(key, files), image);
    } catch (const UnreadableImage& changed) {
      report.health.push_back(
          {.level = "note",
           .site = "",
           .text = fmt::format("'{}' was judged, but has no picture among the worst images: {}.",
                               key.name, changed.what())});
    }
    report.worst_images.push_back(std::move(image));
  }
}

}  // namespace w8a8
