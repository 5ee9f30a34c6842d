# What `kage iam-policy` prints for this cluster.toml, character by character but for white space; a test compares
# the two. It names what may be changed; `*` stands only where AWS knows no resources.

locals {
  own_arn = "arn:${data.aws_partition.current.partition}:ec2:${var.region}:${data.aws_caller_identity.current.account_id}"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"]
        Resource = ["*"]
      },
      {
        Sid      = "MoveRoutes"
        Effect   = "Allow"
        Action   = ["ec2:CreateRoute", "ec2:ReplaceRoute"]
        Resource = sort([for id in values(module.network.app_route_table_ids) : "${local.own_arn}:route-table/${id}"])
      },
      {
        Sid       = "NotifyFigures"
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = ["*"]
        Condition = { StringEquals = { "cloudwatch:namespace" = module.observability.namespace } }
      },
      {
        Sid      = "NotifyOps"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = [module.observability.topic_arn]
      },
      {
        Sid       = "Vote"
        Effect    = "Allow"
        Action    = ["dynamodb:GetItem", "dynamodb:PutItem"]
        Resource  = [module.arbiter.arn]
        Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = "${var.name}/*" } }
      },
    ]
  })
}
