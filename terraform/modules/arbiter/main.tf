# The third vote, outside of all nodes: one small record for each hierarchy, written only on a condition. A record
# holds no secret and nothing to restore: an older one, from a backup or a version, would be a vote taken back.

resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_28:A vote restored from a backup is a vote taken back.
  # checkov:skip=CKV_AWS_119:The record is no secret; with a key of one's own the vote would depend on KMS as well.
  count = var.kind == "dynamodb" ? 1 : 0

  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "id"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "id"
    type = "S"
  }
}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_21:A vote restored from an older version is a vote taken back.
  # checkov:skip=CKV_AWS_18:The nodes write the log of their votes themselves (kage events).
  # checkov:skip=CKV_AWS_144:A copy in another region, written later, would be a second arbiter.
  # checkov:skip=CKV_AWS_145:The record is no secret; with a key of one's own the vote would depend on KMS as well.
  # checkov:skip=CKV2_AWS_61:A record is overwritten in place, and there is one for each hierarchy.
  # checkov:skip=CKV2_AWS_62:Nobody waits for a vote to be written.
  count = var.kind == "s3" ? 1 : 0

  bucket        = var.name
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_public_access_block" "this" {
  count = length(aws_s3_bucket.this)

  bucket                  = aws_s3_bucket.this[count.index].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "this" {
  count = length(aws_s3_bucket.this)

  bucket = aws_s3_bucket.this[count.index].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.this[count.index].arn, "${aws_s3_bucket.this[count.index].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
