# What tells people: a topic for the agents' own notices, and alarms on their figures for when they no longer can.

resource "aws_sns_topic" "this" {
  # checkov:skip=CKV_AWS_26:With AWS's key for SNS, CloudWatch couldn't publish its alarms; with one's own, a notice would depend on KMS as well. Notices hold no secrets.
  name = "${var.cluster}-kagemusha"
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "in_service" {
  for_each = var.hierarchies

  alarm_name          = "${var.cluster}: ${each.value} is not in service"
  alarm_description   = "No node says that it runs all of ${each.value}. On a node: kage status, kage timeline."
  namespace           = var.namespace
  metric_name         = "InService"
  dimensions          = { Cluster = var.cluster, Hierarchy = each.value }
  statistic           = "Maximum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_metric_alarm" "alone" {
  for_each = var.nodes

  alarm_name          = "${var.cluster}: ${each.key} misses a node or is silent"
  alarm_description   = "${each.key} hears fewer than ${length(var.nodes)} nodes, itself among them, or puts no figures. On a node: kage nodes."
  namespace           = var.namespace
  metric_name         = "NodesAlive"
  dimensions          = { Cluster = var.cluster, Node = each.key }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = length(var.nodes)
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_metric_alarm" "impaired" {
  for_each = var.nodes

  alarm_name          = "${var.cluster}: ${each.key}'s instance is impaired"
  alarm_description   = "EC2's own checks of the instance or its host fail."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = each.value }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 2
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.cluster}-kagemusha"
  dashboard_body = jsonencode({
    widgets = [
      {
        type = "metric", width = 12, height = 6
        properties = {
          title   = "In service (1) or not (0)"
          region  = data.aws_region.current.name
          stat    = "Maximum", period = 60
          metrics = [for each in var.hierarchies : [var.namespace, "InService", "Cluster", var.cluster, "Hierarchy", each]]
        }
      },
      {
        type = "metric", width = 12, height = 6
        properties = {
          title   = "Nodes that each node hears"
          region  = data.aws_region.current.name
          stat    = "Minimum", period = 60
          metrics = [for each in keys(var.nodes) : [var.namespace, "NodesAlive", "Cluster", var.cluster, "Node", each]]
        }
      },
    ]
  })
}

data "aws_region" "current" {}
