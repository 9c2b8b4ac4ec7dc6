#include "eval/measure/task_accuracy.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "eval/measure/intervals.h"
#include "gtest/gtest.h"

namespace w8a8 {
namespace {

using Scores = std::vector<float>;
using Classes = std::vector<int64_t>;

SamplePtr Image(int number) {
  return std::make_shared<const SampleKey>(
      SampleKey{.image = {.sha256 = "", .name = "i", .copy = number}});
}

// An image of its own.
void AddFloats(TaskMeter& meter, const Scores& scores, const Scores& reference,
               const Classes& accepted) {
  static int number = 0;
  meter.Add(Image(number++), std::span<const float>(scores), std::span<const float>(reference),
            accepted);
}

TEST(TopClasses, PutsTiesAtTheLowerIndexAndNanLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(TopClasses(Scores{1, 3, 3, 2}, 3), (Classes{1, 2, 3}));
  EXPECT_EQ(TopClasses(Scores{nan, -HUGE_VALF, 1}, 3), (Classes{2, 1, 0}));
  EXPECT_EQ(TopClasses(Scores{0.0f, -0.0f}, 1), (Classes{0}));
  EXPECT_EQ(TopClasses(Scores{5, 6}, 5), (Classes{1, 0}));
}

TEST(TaskMeter, CountsAnyAcceptedClassAndAgreementWithTheReference) {
  TaskMeter meter;
  const Scores reference = {0, 1, 2, 3, 4, 5, 6};              // answers 6
  AddFloats(meter, {0, 1, 2, 3, 4, 5, 6}, reference, {6});     // right, agrees
  AddFloats(meter, {0, 1, 2, 3, 4, 9, 6}, reference, {1, 5});  // right by the second label
  AddFloats(meter, {0, 1, 2, 3, 4, 9, 6}, reference, {6});     // wrong, in the top five
  AddFloats(meter, {0, 1, 2, 3, 4, 5, 6}, reference, {0, 1});  // agrees, not in the top five
  AddFloats(meter, {0, 1, 2, 3, 4, 5, 6}, reference, {});      // no label
  const TaskAccuracy result = meter.Result();
  EXPECT_EQ(result.images, 5u);
  EXPECT_EQ(result.labelled, 4u);
  EXPECT_EQ(result.top1->value, 0.5);
  EXPECT_EQ(result.top5->value, 0.75);
  EXPECT_EQ(result.agreement->value, 0.6);
  EXPECT_LT(result.agreement->low, 0.6);
  EXPECT_GT(result.agreement->high, 0.6);
}

TEST(TaskMeter, MergesByAddition) {
  TaskMeter first, second, both;
  for (int i = 0; i < 10; ++i) {
    const Scores scores = {static_cast<float>(i % 3), 1, 0};
    TaskMeter& part = i % 2 == 0 ? first : second;
    AddFloats(part, scores, {2, 1, 0}, {0});
    AddFloats(both, scores, {2, 1, 0}, {0});
  }
  MergeResult(first, second);
  EXPECT_EQ(first.Result().top1->value, both.Result().top1->value);
  EXPECT_EQ(first.Result().agreement->low, both.Result().agreement->low);
}

// Of images whose reference answers class 0: a meter, and which of them are one to the encoder.
struct Judged {
  TaskMeter meter;
  InputsOfImages inputs;

  void Add(const std::string& input, bool agrees, const Classes& accepted = {}) {
    const SamplePtr image = Image(static_cast<int>(inputs.size()));
    const Scores scores = {agrees ? 2.0f : 0.0f, 1}, reference = {2, 1};
    meter.Add(image, std::span<const float>(scores), std::span<const float>(reference), accepted);
    inputs.emplace(image->image, input);
  }
};

TEST(TaskMeter, LearnsNothingFromCopies) {
  Judged judged;
  for (int i = 0; i < 300; ++i) judged.Add(std::to_string(i), i < 290, {0});
  const TaskAccuracy expected = judged.meter.Result(judged.inputs);
  EXPECT_EQ(expected.agreement->low, WilsonInterval(290, 300).low);
  for (int i = 0; i < 10000; ++i) judged.Add("7", true, {0});
  const TaskAccuracy actual = judged.meter.Result(judged.inputs);
  EXPECT_EQ(actual.images, 10300u);
  EXPECT_EQ(actual.ranked, 300u);
  for (const auto share : {&TaskAccuracy::agreement, &TaskAccuracy::top1}) {
    EXPECT_EQ((actual.*share)->value, (expected.*share)->value);
    EXPECT_EQ((actual.*share)->low, (expected.*share)->low);
    EXPECT_EQ((actual.*share)->high, (expected.*share)->high);
  }
}

TEST(TaskMeter, CountsCopiesOfDifferentLabelsWithTheirMean) {
  Judged judged;
  for (const Classes& label : {Classes{0}, Classes{1}, Classes{1}, Classes{1}, Classes{}}) {
    judged.Add("a", true, label);
  }
  judged.Add("b", true, {0});
  const TaskAccuracy result = judged.meter.Result(judged.inputs);
  EXPECT_EQ(result.labelled, 5u);
  EXPECT_EQ(result.top1->value, (0.25 + 1) / 2);
  EXPECT_EQ(result.top1->high, WilsonInterval(1.25, 2).high);
  EXPECT_EQ(result.agreement->value, 1);
}

TEST(TaskMeter, CountsTheDifferentImagesThatTheReferenceRanks) {
  Judged judged;
  judged.Add("ranked", false);
  judged.Add("ranked", false);
  const Scores scores = {1, 2}, tied = {1, 1};
  for (int i = 2; i < 17; ++i) {
    const SamplePtr image = Image(i);
    judged.meter.Add(image, std::span<const float>(scores), std::span<const float>(tied), {});
    judged.inputs.emplace(image->image, std::to_string(i));
  }
  EXPECT_EQ(judged.meter.Result(judged.inputs).ranked, 1u);
}

TEST(TaskMeter, CountsTopFiveOnlyAmongMoreThanFiveClasses) {
  TaskMeter five, six;
  AddFloats(five, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0});
  AddFloats(six, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0});
  EXPECT_FALSE(five.Result().top5.has_value());
  EXPECT_EQ(five.Result().top1->value, 0);
  EXPECT_EQ(six.Result().top5->value, 0);
}

TEST(TaskMeter, CountsNoAgreementWhereTheReferenceRanksNothing) {
  TaskMeter meter;
  AddFloats(meter, {1, 1, 1}, {2, 2, 2}, {0});
  EXPECT_FALSE(meter.Result().agreement.has_value());
  AddFloats(meter, {1, 3, 2}, {1, 2, 2}, {1});
  EXPECT_EQ(meter.Result().agreement->low, WilsonInterval(1, 1).low);
  EXPECT_EQ(meter.Result().labelled, 2u);
}

TEST(TaskMeter, SaysNothingAboutNothing) {
  TaskMeter meter;
  EXPECT_FALSE(meter.Result().agreement.has_value());
  const std::vector<Half> scores = {Half{0x3c00}, Half{0}};
  meter.Add(Image(0), std::span<const Half>(scores), std::span<const Half>(scores), {});
  EXPECT_FALSE(meter.Result().top1.has_value());
  EXPECT_EQ(meter.Result().agreement->value, 1);
}

}  // namespace
}  // namespace w8a8
