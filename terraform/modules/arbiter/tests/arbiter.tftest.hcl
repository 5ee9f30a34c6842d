mock_provider "aws" {
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::test-votes" }
  }
}

variables {
  name = "test-votes"
}

run "a_table" {
  assert {
    condition     = output.table == tomap({ kind = "dynamodb", table = "test-votes" })
    error_message = "cluster.toml's [arbiter] names the table."
  }
  assert {
    condition     = aws_dynamodb_table.this[0].hash_key == "id" && aws_dynamodb_table.this[0].range_key == null && length(aws_s3_bucket.this) == 0
    error_message = "Its partition key is id, and it has no sort key."
  }
  assert {
    condition     = aws_dynamodb_table.this[0].deletion_protection_enabled
    error_message = "The vote isn't deleted by mistake."
  }
}

run "a_bucket" {
  variables {
    kind                = "s3"
    deletion_protection = false
  }
  assert {
    condition     = output.table == tomap({ kind = "s3", bucket = "test-votes" }) && length(aws_dynamodb_table.this) == 0
    error_message = "cluster.toml's [arbiter] names the bucket."
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.this[0].restrict_public_buckets && aws_s3_bucket_public_access_block.this[0].block_public_policy
    error_message = "Nobody outside of the account gets at it."
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this[0].policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "It is asked over TLS alone."
  }
  assert {
    condition     = aws_s3_bucket.this[0].force_destroy
    error_message = "Without protection it goes with its votes."
  }
}

run "another_kind_is_refused" {
  command = plan
  variables {
    kind = "etcd"
  }
  expect_failures = [var.kind]
}

run "a_wrong_name_is_refused" {
  command = plan
  variables {
    name = "Votes_"
  }
  expect_failures = [var.name]
}
