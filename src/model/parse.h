// Metadata keys that all decoder architectures share.
#pragma once

#include <string>

#include "formats/model_file.h"
#include "model/config.h"

namespace bonsai::model {

/// Reads `<arch>.*` into a Config and checks ranges: every number positive and below what int32 arithmetic on
/// products of two of them can hold, heads a multiple of KV heads. V comes from the rows of token_embd.weight.
/// Errors name the file and the key.
Result<Config> ParseDecoder(const formats::ModelFile& file, const std::string& arch);

}  // namespace bonsai::model
