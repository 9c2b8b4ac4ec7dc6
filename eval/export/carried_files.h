// The files beside the weights that an export takes over from its source.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace w8a8 {

// Relative paths, sorted bytewise, of what a class, its processor and this tool read beside weights
// and config.json: preprocessing, tokenizer, chat templates, generation_config.json, the modules of
// custom code, licences. Not weights, their indexes, adapters, what an export writes itself, what
// states another quantization, and files whose names are not ASCII.
std::vector<std::string> CarriedFiles(const std::filesystem::path& model_folder);

// Copies them; symbolic links become the files that they lead to. Throws Error naming the file for
// one that cannot be read or leads nowhere.
void CopyCarriedFiles(const std::filesystem::path& model_folder,
                      const std::vector<std::string>& names, const std::filesystem::path& out);

}  // namespace w8a8
