# The node's role, its own: it may do what the agent needs for this cluster.toml, read its two parameters and its
# package, and offer shells by Session Manager. AWS's managed policies for the latter also let a role read every
# parameter of the account, other clusters' keys among them, so none of them is used.

data "aws_region" "current" {}
data "aws_partition" "current" {}

resource "aws_iam_role" "this" {
  name_prefix = "${var.cluster}-${var.name}-"
  description = "The node ${var.name} of the cluster ${var.cluster}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "agent" {
  name   = "kagemusha"
  role   = aws_iam_role.this.id
  policy = var.policy
}

resource "aws_iam_role_policy" "first_boot" {
  name = "first-boot"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "OwnParameters"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter"]
        Resource = [var.parameters.config.arn, var.parameters.key.arn]
      }],
      [for key in regexall("^s3://(.*)$", var.package.source)[*][0] : {
        Sid      = "OwnPackage"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["arn:${data.aws_partition.current.partition}:s3:::${key}"]
      }]
    )
  })
}

resource "aws_iam_role_policy" "session_manager" {
  # checkov:skip=CKV_AWS_355:These actions know no resources; it is all that Session Manager asks of an instance.
  # checkov:skip=CKV_AWS_290:These actions know no resources, and change nothing but the instance's own sessions.
  name = "session-manager"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"]
    }]
  })
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = "${var.cluster}-${var.name}-"
  role        = aws_iam_role.this.name
}
