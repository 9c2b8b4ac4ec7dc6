// Encoder input from behind the embedding: transformers' inputs_embeds and attention_mask.
#pragma once

#include <filesystem>
#include <optional>

#include "eval/run/image_source.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Reads `inputs_embeds` [images, tokens, width], F32, F16 or BF16, image by image, and where there
// is one `attention_mask` [images, tokens], I64, I32, U8 or BOOL: 1 where a token is attended to, 0
// for padding. Padding is masked as a key only, as transformers does: its own rows are computed
// too.
class EmbedSource final : public ImageSource {
 public:
  // Throws Error for a shape that the encoder does not take, a mask that does not fit, has other
  // values than 0 and 1 or leaves an image without a token, and a mask for a mean-pooled encoder.
  EmbedSource(const std::filesystem::path& path, const EncoderConfig& config);
  std::optional<InputImage> Next() override;

 private:
  const SafetensorsFile file_;
  const TensorView& embeds_;
  std::vector<uint8_t> mask_;  // [images * tokens] or empty
  int64_t next_ = 0;
};

// Tokens per image of a file that EmbedSource takes.
int64_t EmbeddedTokens(const std::filesystem::path& path, const EncoderConfig& config);

}  // namespace w8a8
