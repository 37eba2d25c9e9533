// Guesses of a second, smaller model with the same vocabulary: its most likely tokens, one after the other.
//
//   ModelDrafter drafter(*small, big->config().vocab);
//   DraftWish wish{.id = 7, .salt = "", .tokens = tokens, .most = 4};
//   drafter.Guess({&wish, 1});                                  // wish.draft: up to 4 ids
//   drafter.Forget(7);
//
// It follows each request in a KV cache of its own and computes only what is new there: when a guess was wrong, it goes
// back to the last token that was right. The texts that want guesses share each of its passes, so that n tokens of
// guesses take n passes, however many texts there are. One that has a prompt to read does so over several calls, with
// no guess before its end is reached.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/draft.h"
#include "engine/kv_chain.h"
#include "engine/loaded_model.h"

namespace bonsai::engine {

class ModelDrafter : public Drafter {
 public:
  /// `model` outlives it, and nobody else uses it. Guesses are ids below `vocab`, the rows of the LM head that will
  /// check them.
  ModelDrafter(LoadedModel& model, int32_t vocab);

  /// A text gets no guess any more, until it is forgotten, when its cache finds no memory, or when it has a token that
  /// this model lacks.
  void Guess(std::span<DraftWish> wishes) override;
  /// Its full blocks stay known, for texts that begin alike.
  void Forget(uint64_t id) override;
  Status Audit() const override;

 private:
  /// What is known of a request.
  struct Text {
    std::vector<int32_t> tokens;  // the request's, then guesses
    size_t known = 0;             // how many are the request's
    KvChain cache;
    bool given_up = false;
    size_t pending() const { return tokens.size() - cache.computed; }
  };
  /// A wish on its way.
  struct Turn {
    DraftWish* wish;
    Text* text;
    size_t rows = 0;  // in this pass
  };
  void Follow(const DraftWish& wish, Text& text);
  void GiveUp(Text& text);
  void PlanPass(std::vector<Turn>& turns);
  void RunPass(std::span<const Turn> turns);
  Status Choose(std::span<const Turn> turns);

  LoadedModel& model_;
  BlockPool& pool_;
  const size_t vocab_;  // what both models have
  const size_t max_rows_;
  std::unordered_map<uint64_t, Text> texts_;
  std::vector<float> logits_;
};

}  // namespace bonsai::engine
