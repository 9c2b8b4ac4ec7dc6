#include "eval/job/embed_source.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

const TensorView& CheckedEmbeds(const SafetensorsFile& file, const EncoderConfig& config) {
  const TensorView& embeds = file.Get("inputs_embeds");
  if (embeds.shape.size() != 3 || std::min(embeds.shape[0], embeds.shape[1]) < 1 ||
      embeds.shape[2] != config.width) {
    Fail(
        "{}: inputs_embeds is {}, but this encoder takes [images, tokens, {}], at least one of "
        "each.",
        file.path().string(), embeds.ShapeText(), config.width);
  }
  return embeds;
}

int64_t MaskElement(const TensorView& mask, size_t i) {
  const size_t bytes = static_cast<size_t>(DtypeBits(mask.dtype)) / 8;
  int64_t value = 0;  // little-endian, and a negative value of any width is not 0 or 1 either
  std::memcpy(&value, mask.bytes.data() + i * bytes, bytes);
  return value;
}

std::vector<uint8_t> ReadMask(const SafetensorsFile& file, const TensorView& embeds,
                              const EncoderConfig& config) {
  const TensorView* mask = file.Find("attention_mask");
  if (mask == nullptr) return {};
  const std::string path = file.path().string();
  const bool integer = mask->dtype == Dtype::kI64 || mask->dtype == Dtype::kI32 ||
                       mask->dtype == Dtype::kU8 || mask->dtype == Dtype::kBool;
  if (!integer || mask->shape != std::vector<int64_t>{embeds.shape[0], embeds.shape[1]}) {
    Fail("{}: attention_mask is {} {}, expected I64, I32, U8 or BOOL [{}, {}].", path,
         DtypeName(mask->dtype), mask->ShapeText(), embeds.shape[0], embeds.shape[1]);
  }
  const bool averages = config.classes > 0 && config.head_input != HeadInput::kPooled;
  if (config.pool == PoolKind::kMean || averages) {
    Fail("{}: attention_mask: this encoder pools by the mean of all tokens, padding included.",
         path);
  }
  const auto tokens = static_cast<size_t>(embeds.shape[1]);
  std::vector<uint8_t> values(static_cast<size_t>(mask->elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = MaskElement(*mask, i);
    if (value != 0 && value != 1) {
      Fail("{}: attention_mask holds {} at image {}, token {}; expected 0 or 1.", path, value,
           i / tokens, i % tokens);
    }
    values[i] = static_cast<uint8_t>(value);
  }
  for (size_t image = 0; image * tokens < values.size(); ++image) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(image * tokens);
    if (std::find(first, first + static_cast<std::ptrdiff_t>(tokens), 1) ==
        first + static_cast<std::ptrdiff_t>(tokens)) {
      Fail("{}: attention_mask leaves image {} without a token.", path, image);
    }
  }
  return values;
}

}  // namespace

EmbedSource::EmbedSource(const std::filesystem::path& path, const EncoderConfig& config)
    : file_(path), embeds_(CheckedEmbeds(file_, config)), mask_(ReadMask(file_, embeds_, config)) {}

std::optional<InputImage> EmbedSource::Next() {
  if (next_ == embeds_.shape[0]) return std::nullopt;
  const auto index = static_cast<size_t>(next_);
  const size_t bytes = embeds_.bytes.size() / static_cast<size_t>(embeds_.shape[0]);
  const TensorView one{.name = fmt::format("inputs_embeds[{}]", index),
                       .dtype = embeds_.dtype,
                       .shape = {embeds_.shape.begin() + 1, embeds_.shape.end()},
                       .bytes = embeds_.bytes.subspan(index * bytes, bytes)};
  InputImage image;
  ++next_;
  image.key.image.name = one.name;
  image.pixels = FloatValues(one);
  if (mask_.empty()) return image;
  const auto tokens = embeds_.shape[1];
  const auto first = mask_.begin() + static_cast<std::ptrdiff_t>(index) * tokens;
  image.key_mask.assign(first, first + tokens);
  return image;
}

int64_t EmbeddedTokens(const std::filesystem::path& path, const EncoderConfig& config) {
  return CheckedEmbeds(SafetensorsFile(path), config).shape[1];
}

}  // namespace w8a8
