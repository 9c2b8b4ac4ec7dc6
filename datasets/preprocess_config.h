// What a model wants done to an image before it sees it, read from the files that come with it.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>

#include "datasets/decode.h"
#include "datasets/naflex.h"
#include "datasets/resample.h"
#include "datasets/tiling.h"

namespace w8a8 {

enum class ResizeRule {
  kNone,
  kExact,         // to `resize`, whatever the aspect
  kShortestEdge,  // the shorter side becomes `shortest_edge`, the longer one int(edge * long /
                  // short)
  kPatchBudget,   // NaFlex: SizeWithinBudget(), so that sizes differ from image to image
};

// Where an odd margin goes when the centre is cut out (or padded with zeros).
enum class CropRule {
  kNumpy,        // transformers' PIL processors: offset floor(margin / 2), padding ceil
  kTorchvision,  // timm: offset rounded half to even, padding floor
  kFast,         // transformers' torchvision processors: offset floor, padding floor
};

// Order of the binary32 operations on a level 0 to 255.
enum class Arithmetic {
  kNumpy,  // transformers: float32(level * factor in binary64), then (x - mean) / std
  kTorch,  // timm: level / 255, then (x - mean) / std
  kFused,  // transformers' torchvision processors: (level - mean / factor) / (std / factor)
};

// What Idefics3 and SmolVLM do to the whole image before they bring it to the encoder's size; every
// resize rounds to 8 bits.
struct ResizeBefore {
  int longest_edge = 0;  // first, with the aspect kept and the other side even
  int multiple_of = 0;   // then to multiples of it; 0: not
};

struct PreprocessConfig {
  std::filesystem::path source_file;
  Resampler resampler = Resampler::kPillow13;
  std::string processor;                // "SiglipImageProcessor", "timm pretrained_cfg"
  std::string processor_inferred_from;  // "model_type 'vit'", where no processor file names it
  ResizeRule resize_rule = ResizeRule::kExact;
  ImageSize resize;                    // kExact
  int shortest_edge = 0;               // kShortestEdge
  int longest_edge = 0;                // kShortestEdge: the longer side at most; 0: as it comes
  PatchBudget budget;                  // kPatchBudget
  std::optional<ResizeBefore> before;  // kExact
  Filter filter = Filter::kBicubic;
  std::optional<ImageSize> crop;
  CropRule crop_rule = CropRule::kNumpy;
  bool rescale = true;
  double rescale_factor = 1.0 / 255;
  bool normalize = true;
  std::array<double, 3> mean = {0.5, 0.5, 0.5};
  std::array<double, 3> std_dev = {0.5, 0.5, 0.5};
  AlphaRule alpha = AlphaRule::kOnWhite;
  Arithmetic arithmetic = Arithmetic::kNumpy;
  std::optional<Tiling> tiling;  // with kExact: `resize` is then the size of a tile
  // What the model's own pipeline shows it besides the whole image, and we do not: "anyres tiles".
  std::string left_out;
  // Steps that the file asks for and the class does not have: "do_flip".
  std::vector<std::string> passed_over;

  bool variable_size() const { return resize_rule == ResizeRule::kPatchBudget; }
  // Of every image, but for variable_size().
  ImageSize OutputSize() const { return crop.value_or(resize); }
};

// Reads, as transformers 5 does, the first of these that is there: config.json of an InternVL chat
// checkpoint; the image_processor of processor_config.json (transformers 4 prefers the file that
// follows); preprocessor_config.json, but the pretrained_cfg of config.json for a timm model. Where
// the processor config does not name its class, config.json decides (processor_type.h). Fields that
// are absent have the defaults of the class. With Resampler::kTorchvision a Hugging Face config is
// carried out as transformers' torchvision ("fast") processors do, crop and arithmetic included.
// Throws Error for a folder without any of them, for values of the wrong kind, and for everything
// that is asked for and not supported, by name.
PreprocessConfig ReadPreprocessConfig(const std::filesystem::path& model_folder,
                                      Resampler resampler);

// One line for people: "SiglipImageProcessor: resize to 224x224, bicubic (pillow13), ...".
std::string DescribePreprocessing(const PreprocessConfig& config);
// Of every setting that has an influence on pixel values, and of nothing else.
std::string PreprocessingSha256(const PreprocessConfig& config);

}  // namespace w8a8
