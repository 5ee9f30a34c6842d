mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "ap-northeast-1" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:ap-northeast-1:123456789012:test-kagemusha" }
  }
}

variables {
  cluster     = "test"
  nodes       = { "db-01" = "i-0000000000000000a", "db-02" = "i-0000000000000000c" }
  hierarchies = ["groupware"]
}

run "alarms" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.in_service["groupware"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.in_service["groupware"].statistic == "Maximum"
    error_message = "In service nowhere is an alarm, and so is silence."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.in_service["groupware"].dimensions == tomap({ Cluster = "test", Hierarchy = "groupware" })
    error_message = "The alarm looks at the figure that the agents put."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.alone["db-02"].threshold == 2 && length(aws_cloudwatch_metric_alarm.impaired) == 2
    error_message = "A node that misses the other is an alarm; each instance has one of its own."
  }
  assert {
    condition     = length(aws_sns_topic_subscription.email) == 0
    error_message = "Nobody is written to who wasn't named."
  }
}

run "mail" {
  variables {
    emails = ["ops@example.com"]
  }
  assert {
    condition     = aws_sns_topic_subscription.email["ops@example.com"].topic_arn == output.topic_arn
    error_message = "Who was named gets mail."
  }
}

run "wrong_values_are_refused" {
  command = plan
  variables {
    cluster     = "Test"
    nodes       = { "db-01" = "i-0000000000000000a" }
    hierarchies = []
    namespace   = "AWS/EC2"
    emails      = ["ops"]
  }
  expect_failures = [var.cluster, var.nodes, var.hierarchies, var.namespace, var.emails]
}
