// The program as a user meets it: what it prints, where, and its exit codes.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tests/support.h"
#include "tests/synthetic.h"

namespace bonsai {
namespace {

struct Outcome {
  int code = -1;
  std::string out, err;
};

/// Runs `bonsai ARGS` through the shell, standard input closed unless the arguments redirect it.
Outcome Bonsai(const std::string& args) {
  const test::TempDir dir;
  const char* bin = std::getenv("BONSAI_BIN_DIR");
  const std::string command = std::string(bin != nullptr ? bin : "build/bin") + "/bonsai " + args + " >" +
                              (dir / "out") + " 2>" + (dir / "err") +
                              (args.find('<') == std::string::npos ? " </dev/null" : "");
  const int status = std::system(command.c_str());
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .out = test::ReadFile(dir / "out"),
          .err = test::ReadFile(dir / "err")};
}

std::string Model() { return test::SourcePath("models/tiny-q1.gguf"); }

TEST(CliTest, HelpAndVersion) {
  EXPECT_EQ(Bonsai("--help").code, 0);
  EXPECT_NE(Bonsai("--help").out.find("inspect"), std::string::npos);
  EXPECT_EQ(Bonsai("--version").out.substr(0, 7), "bonsai ");
  for (const std::string verb : {"run", "inspect", "convert", "tokenize", "eval", "eval perplexity"}) {
    const Outcome o = Bonsai(verb + " --help");
    EXPECT_EQ(o.code, 0) << verb;
    EXPECT_TRUE(o.out.find("-m,--model") != std::string::npos || verb == "eval" || verb == "convert") << verb << o.out;
    EXPECT_EQ(o.err, "") << verb;
  }
  EXPECT_NE(Bonsai("run --help").out.find("bonsai run model.gguf"), std::string::npos);  // examples
}

TEST(CliTest, ConvertWritesWhatInspectPredicts) {
  const test::TempDir dir;
  const std::string out = dir / "q2.gguf";
  const auto plan = nlohmann::json::parse(Bonsai("inspect --json --no-hash --as Q2_0 " + Model()).out);
  const Outcome dry = Bonsai("convert " + Model() + " " + out + " --type Q2_0 --dry-run");
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_NE(dry.out.find(plan["converted_bytes"].dump()), std::string::npos) << dry.out;
  EXPECT_EQ(test::ReadFile(out), "");
  const Outcome o = Bonsai("convert " + Model() + " " + out + " --type Q2_0");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");  // a pipe: no progress
  EXPECT_NE(o.out.find("every weight has the same value as before"), std::string::npos) << o.out;
  EXPECT_EQ(test::ReadFile(out).size(), plan["converted_bytes"].get<size_t>());
  const std::string story = " -p 'Once upon a time' -n 16 --temp 0 --raw ";
  EXPECT_EQ(Bonsai("run --act f32 " + out + story).out, Bonsai("run --act f32 " + Model() + story).out);
  const Outcome again = Bonsai("convert " + Model() + " " + out + " --type Q2_0");
  EXPECT_EQ(again.code, 2);
  EXPECT_NE(again.err.find("--force"), std::string::npos) << again.err;
  EXPECT_EQ(Bonsai("convert " + Model() + " " + out + " --type Q8_0 --force").code, 0);
  EXPECT_EQ(Bonsai("convert " + Model() + " " + out + " --type Q9_0 --force").code, 2);
  // A directory, and back.
  const std::string mlx = dir / "mlx";
  EXPECT_EQ(Bonsai("convert " + Model() + " " + mlx + " --to mlx").code, 0);
  EXPECT_EQ(Bonsai("run " + mlx + story).out, Bonsai("run " + Model() + story).out);
}

TEST(CliTest, InspectChecksEveryWeight) {
  const Outcome o = Bonsai("inspect --no-hash --check " + Model());
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("0 of 46 tensors have something to tell"), std::string::npos) << o.out;
  const auto j = nlohmann::json::parse(Bonsai("inspect --no-hash --check --json " + Model()).out);
  ASSERT_EQ(j["check"].size(), 46u);
  for (const auto& c : j["check"]) EXPECT_EQ(c["not_finite"], 0) << c["name"];
}

TEST(CliTest, WrongUsageIsOneLineAndCode2) {
  for (const std::string args :
       {"", "dance", "run --no-such-flag", "run -n x", "run --temp -1 -p hi", "run --top-p 2 -p hi",
        "run -p a --prompt-ids 1", "run --prompt-ids 1,x", "run --prompt-ids 1,5000", "tokenize", "eval",
        "eval perplexity", "run -ctk q3_0 -p a", "run -c 0 -p a", "run --draft-max 0", "run --draft-max 32"}) {
    const Outcome o = Bonsai(args);
    EXPECT_EQ(o.code, 2) << args << o.err;
    EXPECT_EQ(o.out, "") << args;
    EXPECT_FALSE(o.err.empty()) << args;
    if (!args.empty()) {
      EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << args << ": " << o.err;
    }
  }
}

TEST(CliTest, FailedWorkIsCode1AndNamesTheFile) {
  const test::TempDir dir;
  for (const std::string verb :
       {"run -p hi -m ", "inspect ", "tokenize -p hi -m ", "eval perplexity -f /dev/null -m "}) {
    const Outcome o = Bonsai(verb + (dir / "nothing.gguf"));
    EXPECT_NE(o.code, 0) << verb;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << verb << o.err;
  }
  const Outcome o = Bonsai("run -p hi -m " + (dir / "nothing.gguf"));
  EXPECT_EQ(o.code, 1);
  EXPECT_NE(o.err.find("nothing.gguf"), std::string::npos) << o.err;
  std::ofstream(dir / "cut.gguf", std::ios::binary) << test::ReadFile(Model()).substr(0, 400000);
  const Outcome cut = Bonsai("run -p hi " + (dir / "cut.gguf"));
  EXPECT_EQ(cut.code, 1);
  EXPECT_NE(cut.err.find("cut.gguf"), std::string::npos) << cut.err;
}

TEST(CliTest, RunsAloneAndInAPipe) {
  const Outcome story = Bonsai("run -n 30 --seed 1");
  EXPECT_EQ(story.code, 0) << story.err;
  EXPECT_EQ(story.out.substr(0, 36), "Once upon a time, there was a little");
  EXPECT_EQ(story.out.find('\033'), std::string::npos);  // no colour in a pipe
  EXPECT_EQ(story.err, "");                              // and no statistics
  EXPECT_EQ(Bonsai("run -n 30 --seed 1").out, story.out);
  EXPECT_NE(Bonsai("run -n 30 --seed 2").out, story.out);
}

TEST(CliTest, ADraftModelChangesNoText) {
  for (const std::string how : {"--temp 0", "--temp 0.7 --seed 1"}) {
    const std::string args = " --output-ids -n 40 " + how;
    const Outcome plain = Bonsai("run" + args), drafted = Bonsai("run -v -md " + Model() + " --draft-max 5" + args);
    EXPECT_EQ(drafted.code, 0) << drafted.err;
    EXPECT_EQ(drafted.out, plain.out) << how;
    EXPECT_NE(drafted.err.find("guesses right"), std::string::npos) << drafted.err;
  }
  const test::TempDir dir;
  std::ofstream(dir / "other.gguf", std::ios::binary) << test::BuildGguf({});
  const Outcome other = Bonsai("run -md " + (dir / "other.gguf"));
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("other.gguf: has 300 tokens, but built-in model has "), std::string::npos) << other.err;
  EXPECT_EQ(Bonsai("run -md " + (dir / "nothing.gguf")).code, 1);
}

TEST(CliTest, AFullDiskIsAFailure) {
  for (const std::string verb : {"run -n 5", "run -n 5 --json", "run -n 5 --output-ids", "inspect", "tokenize -p hi"}) {
    const test::TempDir dir;
    const char* bin = std::getenv("BONSAI_BIN_DIR");
    const std::string command = std::string(bin != nullptr ? bin : "build/bin") + "/bonsai " + verb + " >/dev/full 2>" +
                                (dir / "err") + " </dev/null";
    const int status = std::system(command.c_str());
    EXPECT_EQ(WEXITSTATUS(status), 1) << verb;
    EXPECT_NE(test::ReadFile(dir / "err").find("standard output"), std::string::npos) << verb;
  }
}

TEST(CliTest, GivesTheGoldenTokens) {
  const auto golden = nlohmann::json::parse(test::ReadFile(test::SourcePath("tests/data/tiny-q1.golden.json")));
  const auto join = [](const nlohmann::json& ids) {
    std::string s;
    for (const auto& id : ids) s += (s.empty() ? "" : ",") + id.dump();
    return s;
  };
  const auto& p = golden["prompts"][1];
  const Outcome o =
      Bonsai("run " + Model() + " --raw --act f32 --prompt-ids " + join(p["ids"]) + " --output-ids -n 48 --temp 0");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.out, join(p["greedy"]) + "\n");
  const Outcome text =
      Bonsai("run " + Model() + " --act f32 -n 48 --temp 0 --json -p '" + p["prompt"].get<std::string>() + "'");
  const auto j = nlohmann::json::parse(text.out);
  EXPECT_EQ(j["text"], p["greedy_text"]);
  EXPECT_EQ(j["tokens"], p["greedy"]);
  EXPECT_EQ(j["finish_reason"], "length");
  EXPECT_EQ(j["timings"]["predicted_n"], 48);
}

/// The model that ships, with a chat template: one more key before the others. Its bytes are a multiple of 32, the
/// alignment, so that the tensors stay where the file says.
std::string WithTemplate(std::string chat_template) {
  const auto number = [](uint64_t n, size_t bytes) {
    std::string s;
    for (size_t i = 0; i < bytes; i++) s += static_cast<char>(n >> (8 * i));
    return s;
  };
  std::string file = test::ReadFile(Model());
  const std::string key = "tokenizer.chat_template";
  chat_template += "{#";
  while ((8 + key.size() + 4 + 8 + chat_template.size() + 2) % 32 != 0) chat_template += ' ';
  chat_template += "#}";
  file[16] = static_cast<char>(file[16] + 1);  // magic, version, tensors, keys
  file.insert(24, number(key.size(), 8) + key + number(8, 4) + number(chat_template.size(), 8) + chat_template);
  return file;
}

TEST(CliTest, ChatsByTheFilesTemplate) {
  const test::TempDir dir;
  const std::string chat =
      "{% for m in messages %}{{ m.role + ': ' + m.content }}{{ eos_token }}{% endfor %}{{ tone | default('calm') }}";
  std::ofstream(dir / "chat.gguf", std::ios::binary) << WithTemplate(chat);
  const auto same = [&](const std::string& args, const std::string& prompt) {
    std::string ids = Bonsai("tokenize --parse-special --ids -p '" + prompt + "'").out;
    ids = ids.substr(0, ids.find('\n'));
    const Outcome o = Bonsai("run " + (dir / "chat.gguf") + " --output-ids -n 8 --temp 0 " + args);
    EXPECT_EQ(o.code, 0) << args << o.err;
    EXPECT_EQ(o.out, Bonsai("run --output-ids -n 8 --temp 0 --prompt-ids " + ids).out) << args << ids;
    EXPECT_NE(o.out, Bonsai("run --output-ids -n 8 --temp 0 --prompt-ids 79").out) << args;
  };
  same("-p Once", "user: Once<|endoftext|>calm");
  same("-p Once -sys 'Be a king'", "system: Be a king<|endoftext|>user: Once<|endoftext|>calm");
  same("-p Once --chat-template-kwargs '{\"tone\": \"loud\"}'", "user: Once<|endoftext|>loud");
  const auto count = [&](const std::string& args) {
    const Outcome o = Bonsai("run " + (dir / "chat.gguf") + " --json -n 1 " + args);
    return nlohmann::json::parse(o.out)["prompt_tokens"].get<int>();
  };
  EXPECT_GT(count("-p '<|im_end|>'"), count("-p x") + 3);  // typed, it is text
  EXPECT_EQ(count("--raw -p '<|im_end|>'"), 1);            // unless asked for
  for (const std::string args : {"--chat-template-kwargs '{'", "--chat-template-kwargs 7",
                                 "--chat-template-kwargs '{\"messages\": []}'", "--raw -sys x"}) {
    EXPECT_EQ(Bonsai("run -p a -m " + (dir / "chat.gguf") + " " + args).code, 2) << args;
  }
  EXPECT_EQ(Bonsai("run -p a --chat-template-kwargs '{}'").code, 2);  // no template
}

TEST(CliTest, ABrokenTemplateSaysHowToGoOn) {
  const test::TempDir dir;
  for (const std::string chat : {"{{ 1 + }}", "{{ raise_exception('no') }}", "{{ 1 | nofilter }}"}) {
    std::ofstream(dir / "bad.gguf", std::ios::binary) << WithTemplate(chat);
    const Outcome o = Bonsai("run -n 2 -p a " + (dir / "bad.gguf"));
    EXPECT_NE(o.code, 0) << chat;
    EXPECT_NE(o.err.find("bad.gguf: tokenizer.chat_template: line 1: "), std::string::npos) << o.err;
    EXPECT_NE(o.err.find("--raw"), std::string::npos) << o.err;
    EXPECT_EQ(Bonsai("run -n 2 --raw -p a " + (dir / "bad.gguf")).code, 0);
  }
}

TEST(CliTest, TokenizesBothWays) {
  EXPECT_EQ(Bonsai("tokenize -p 'Once upon a time, there was a little' --ids").out,
            "79,1577,676,258,578,44,545,314,258,491\n");
  EXPECT_EQ(Bonsai("tokenize --decode 79,1577,676").out, "Once upon");
  EXPECT_EQ(Bonsai("tokenize -p '<|im_end|>' --parse-special --ids").out, "4095\n");
  EXPECT_NE(Bonsai("tokenize -p '<|im_end|>' --ids").out, "4095\n");
  EXPECT_EQ(Bonsai("tokenize --decode 4096").code, 2);
  const auto j = nlohmann::json::parse(Bonsai("tokenize --json -p 'Once'").out);
  EXPECT_EQ(j["count"], j["tokens"].size());
}

TEST(CliTest, InspectTellsTheTruth) {
  const auto j = nlohmann::json::parse(Bonsai("inspect --json -c 512 " + Model()).out);
  EXPECT_EQ(j["parameters"], 4197120);
  EXPECT_EQ(j["bits_per_weight"], 1.125);
  EXPECT_EQ(j["tensors"].size(), 46u);
  EXPECT_EQ(j["types"]["Q1_0"]["tensors"], 29);
  EXPECT_EQ(j["metadata"]["qwen3.block_count"], 4);
  EXPECT_EQ(j["plan"]["context"], 512);
  EXPECT_EQ(j["plan"]["kv"], 4 * 2 * 2 * 64 * 2 * 512);
  const test::TempDir dir;
  std::system(("sha256sum " + Model() + " >" + (dir / "sum")).c_str());
  EXPECT_EQ(j["sha256"], test::ReadFile(dir / "sum").substr(0, 64));
  EXPECT_NE(Bonsai("inspect " + Model()).out.find("1.1250"), std::string::npos);
}

TEST(CliTest, EvalPerplexity) {
  const test::TempDir dir;
  std::ofstream(dir / "t.txt") << "Once upon a time there was a king, and the king had a daughter who was very good.";
  const auto j =
      nlohmann::json::parse(Bonsai("eval perplexity " + Model() + " -f " + (dir / "t.txt") + " -c 8 --json").out);
  EXPECT_EQ(j.size(), 4u);
  EXPECT_EQ(j["tokens"].get<int>() % 8, 0);
  EXPECT_NEAR(j["ppl"].get<double>(), std::exp(j["mean_nll"].get<double>()), 1e-6);
  EXPECT_GT(j["bits_per_byte"].get<double>(), 0);
  EXPECT_EQ(Bonsai("eval perplexity " + Model() + " -f - -c 8 < " + (dir / "t.txt")).code, 0);
  std::ofstream(dir / "empty.txt");
  EXPECT_EQ(Bonsai("eval perplexity " + Model() + " -f " + (dir / "empty.txt")).code, 2);
}

TEST(CliTest, AContextThatCannotFitSaysWhichWould) {
  const Outcome o = Bonsai("run -p hi -c 100000000 " + Model());
  EXPECT_EQ(o.code, 1);
  EXPECT_NE(o.err.find("would fit"), std::string::npos) << o.err;
}

}  // namespace
}  // namespace bonsai
