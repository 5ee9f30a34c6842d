output "table" {
  description = "The [arbiter] table of cluster.toml: key -> value."
  value = var.kind == "dynamodb" ? {
    kind  = "dynamodb"
    table = aws_dynamodb_table.this[0].name
    } : {
    kind   = "s3"
    bucket = aws_s3_bucket.this[0].bucket
  }
}

output "arn" {
  description = "The table's or the bucket's ARN, for the nodes' policy."
  value       = var.kind == "dynamodb" ? aws_dynamodb_table.this[0].arn : aws_s3_bucket.this[0].arn
}
