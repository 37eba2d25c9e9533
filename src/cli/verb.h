// A verb of the program: `bonsai run`, `bonsai inspect`, … One file each, one row in main.cc.
#pragma once

namespace bonsai::cli {

/// Exit codes of every verb.
enum ExitCode : int { kDone = 0, kFailed = 1, kUsage = 2 };

/// argv[0] is the verb. Returns an exit code; errors are printed as one line on stderr.
int RunVerb(int argc, char** argv);
int ChatVerb(int argc, char** argv);
int ServeVerb(int argc, char** argv);
int InspectVerb(int argc, char** argv);
int ConvertVerb(int argc, char** argv);
int TokenizeVerb(int argc, char** argv);
int EvalVerb(int argc, char** argv);
int BenchVerb(int argc, char** argv);
int DoctorVerb(int argc, char** argv);

}  // namespace bonsai::cli
