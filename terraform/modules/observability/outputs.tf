output "topic_arn" {
  description = "The topic of the notices and alarms."
  value       = aws_sns_topic.this.arn
}

output "namespace" {
  description = "Where the agents put their figures."
  value       = var.namespace
}
