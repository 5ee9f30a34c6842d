# What the nodes fetch at their first boot: cluster.toml, and the cluster key.

locals {
  names = {
    config = "/kagemusha/${var.name}/cluster.toml"
    key    = "/kagemusha/${var.name}/cluster.key"
  }
  # By their names, not by the resources: cluster.toml names the instances' volumes, whose roles name the parameters.
  parameters = {
    for key, name in local.names : key => {
      name = name
      arn  = "arn:${data.aws_partition.current.partition}:ssm:${var.region}:${data.aws_caller_identity.current.account_id}:parameter${name}"
    }
  }
  cluster_toml = templatefile("${path.module}/cluster.toml.tftpl", {
    name             = var.name
    region           = var.region
    preset           = var.preset
    hierarchy        = local.hierarchy
    nodes            = local.nodes
    zones            = local.zones
    virtual_ip       = local.virtual_ip
    device           = var.device
    arbiter          = module.arbiter.table
    route_tables     = [for zone in keys(local.zones) : module.network.app_route_table_ids[zone]]
    disks            = { for name, each in module.node : name => each.data_disk }
    topic            = module.observability.topic_arn
    metric_namespace = module.observability.namespace
  })
}

module "cluster_key" {
  source = "../modules/cluster_key"

  cluster = var.name
  name    = local.names.key
}

resource "aws_ssm_parameter" "config" {
  # checkov:skip=CKV2_AWS_34:cluster.toml holds no secret.
  name        = local.names.config
  description = "The cluster.toml of ${var.name}"
  type        = "String"
  value       = local.cluster_toml

  lifecycle {
    precondition {
      condition     = length(local.cluster_toml) <= 4096
      error_message = "cluster.toml has more than the 4096 bytes that a standard parameter holds: shorten its comments."
    }
  }
}
